package nft

import (
	"strings"
	"testing"
)

func TestAttachNeedsTheTable(t *testing.T) {
	change := Attach("t", "agents", "10.0.0.1", "veth1")
	if strings.Contains(change, "add table") {
		t.Error("without the controller's rules a pod would be attached and open")
	}
	expected := `add set inet t pods-agents { type ipv4_addr; }
add element inet t pods-agents { 10.0.0.1 }
add element inet t fresh { 10.0.0.1 }
add element inet t links { "veth1" }
`
	if change != expected {
		t.Errorf("%s", change)
	}
}

func TestDetachTakesOutWhatAttachPutIn(t *testing.T) {
	attached, detached := Attach("t", "agents", "10.0.0.1", "veth1"), Detach("t", "agents", "10.0.0.1", "veth1")
	for _, line := range strings.Split(strings.TrimSpace(attached), "\n") {
		element, isElement := strings.CutPrefix(line, "add element ")
		if isElement && !strings.Contains(detached, "delete element "+element) {
			t.Errorf("stays behind: %s", element)
		}
	}
}
