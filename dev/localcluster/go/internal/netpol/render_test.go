package netpol

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"agentsession.dev/localkube/internal/attachments"
)

var update = flag.Bool("update", false, "write the golden files anew")

func policy(t *testing.T, text string) *networking.NetworkPolicy {
	t.Helper()
	parsed := &networking.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(text), parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

func namespace(name string) *core.Namespace {
	labels := map[string]string{"kubernetes.io/metadata.name": name}
	return &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: name, Labels: labels}}
}

func pod(namespace, name, address string, labels map[string]string) *core.Pod {
	return &core.Pod{
		ObjectMeta: meta.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(name), Labels: labels,
		},
		Status: core.PodStatus{PodIP: address, Phase: core.PodRunning},
	}
}

func attached(namespace, name, address string) attachments.Attachment {
	return attachments.Attachment{
		ContainerID: "c-" + name, Namespace: namespace, Name: name, UID: name,
		Address: address, Link: "veth" + name,
	}
}

const sealed = `
metadata: {namespace: agents, name: sealed}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    - to: [{ipBlock: {cidr: 10.218.0.1/32}}]
      ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: system}}
          podSelector: {matchLabels: {part: gateway}}
      ports: [{protocol: TCP, port: 8080}]
`

const internet = `
metadata: {namespace: agents, name: internet}
spec:
  podSelector: {matchLabels: {network: Internet}}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 169.254.0.0/16]}
        - ipBlock: {cidr: "2000::/3", except: ["2002::/16"]}
`

const gateway = `
metadata: {namespace: system, name: gateway}
spec:
  podSelector: {matchLabels: {part: gateway}}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: agents}}}]
      ports: [{protocol: TCP, port: 8080}]
`

func chartState(t *testing.T) State {
	return State{
		Policies:   []*networking.NetworkPolicy{policy(t, sealed), policy(t, internet), policy(t, gateway)},
		Namespaces: []*core.Namespace{namespace("system"), namespace("agents")},
		Pods: []*core.Pod{
			pod("agents", "a", "", map[string]string{"network": "Internet"}),
			pod("agents", "b", "10.219.0.3", map[string]string{"network": "None"}),
			pod("system", "g", "10.219.0.4", map[string]string{"part": "gateway"}),
		},
		Attachments: []attachments.Attachment{
			attached("agents", "a", "10.219.0.2"),
			attached("agents", "b", "10.219.0.3"),
			attached("agents", "unseen", "10.219.0.9"),
		},
	}
}

func TestChartsPoliciesAsTheyAreRendered(t *testing.T) {
	text, refusals := Render("test", chartState(t))
	if len(refusals) != 0 {
		t.Errorf("refused: %v", refusals)
	}
	golden := filepath.Join("testdata", "chart.nft")
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expected, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(expected) {
		t.Errorf("go test ./internal/netpol -update, and read the difference:\n%s", text)
	}
}

func TestTheOrderInWhichThingsAreListedDoesNotMatter(t *testing.T) {
	one, other := chartState(t), chartState(t)
	slices.Reverse(other.Policies)
	slices.Reverse(other.Namespaces)
	slices.Reverse(other.Pods)
	slices.Reverse(other.Attachments)
	first, _ := Render("test", one)
	second, _ := Render("test", other)
	if first != second {
		t.Errorf("two texts:\n%s\n%s", first, second)
	}
}

// section returns the lines of one set or chain.
func section(t *testing.T, text, head string) []string {
	t.Helper()
	_, rest, found := strings.Cut(text, "  "+head+" {\n")
	if !found {
		t.Fatalf("no %q in\n%s", head, text)
	}
	body, _, _ := strings.Cut(rest, "  }\n")
	lines := strings.Split(strings.TrimSpace(body), "\n")
	for number, line := range lines {
		lines[number] = strings.TrimSpace(line)
	}
	return lines
}

func expectSection(t *testing.T, text, head string, expected ...string) {
	t.Helper()
	if found := section(t, text, head); !slices.Equal(found, expected) {
		t.Errorf("%s:\n  %s\nexpected\n  %s",
			head, strings.Join(found, "\n  "), strings.Join(expected, "\n  "))
	}
}

func TestANewPodGetsWhatItsWholeNamespaceGets(t *testing.T) {
	text, _ := Render("test", chartState(t))
	expectSection(t, text, "set fresh", "type ipv4_addr", "elements = { 10.219.0.9 }")
	expectSection(t, text, "chain egress-in-agents",
		"jump policy-1-egress",
		"ip saddr @fresh "+rejection,
		"ip saddr @policy-0-pods jump policy-0-egress",
		rejection,
	)
	// Its address may have been another pod's: no peer by labels either.
	for _, line := range section(t, text, "chain policy-1-egress") {
		if strings.Contains(line, "@policy-1") && !strings.Contains(line, "ip daddr != @fresh") {
			t.Errorf("a stale address stays a peer: %s", line)
		}
	}
}

func TestAPeerThatIsAWholeNamespaceIsTheSetThatThePluginKeeps(t *testing.T) {
	text, _ := Render("test", chartState(t))
	expectSection(t, text, "chain policy-2-ingress",
		`comment "system/gateway"`,
		"ip saddr @pods-agents meta l4proto . th dport { tcp . 8080 } accept",
	)
}

func TestAnAddressBelongsToWhomThePluginGaveItTo(t *testing.T) {
	state := chartState(t)
	// Deleted a moment ago, still shown with its address.
	state.Pods = append(state.Pods,
		pod("system", "former", "10.219.0.3", map[string]string{"part": "gateway"}))
	text, _ := Render("test", state)
	for _, line := range section(t, text, "set policy-1-egress-1-0") {
		if strings.Contains(line, "10.219.0.3") {
			t.Errorf("a former holder's rights went to the new one: %s", line)
		}
	}
}

func TestPodsWithoutAnAddressOfTheirOwnCountNowhere(t *testing.T) {
	state := State{Namespaces: []*core.Namespace{namespace("system")}}
	host := pod("system", "host", "10.218.0.1", nil)
	host.Spec.HostNetwork = true
	finished := pod("system", "finished", "10.219.0.7", nil)
	finished.Status.Phase = core.PodSucceeded
	six := pod("system", "six", "fd00::1", nil)
	state.Pods = []*core.Pod{host, finished, six, pod("system", "old", "10.219.0.8", nil)}
	text, _ := Render("test", state)
	expectSection(t, text, "set pods-system", "type ipv4_addr", "elements = { 10.219.0.8 }")
}

func TestANamespaceThatNobodyListedHasItsSet(t *testing.T) {
	state := State{Attachments: []attachments.Attachment{attached("new", "n", "10.219.0.2")}}
	text, _ := Render("test", state)
	expectSection(t, text, "set pods-new", "type ipv4_addr", "elements = { 10.219.0.2 }")
}

func TestPodsOfOneSelectorAreIsolatedAndTheirNeighboursAreNot(t *testing.T) {
	text, _ := Render("test", chartState(t))
	expectSection(t, text, "chain ingress-in-system",
		"ip daddr @fresh "+rejection,
		"ip daddr @policy-2-pods jump policy-2-ingress",
		"ip daddr @policy-2-pods "+rejection,
	)
	if strings.Contains(text, "egress-in-system") {
		t.Error("a policy for ingress isolates for egress")
	}
}

func TestARuleWithoutPeersOrPortsIsEveryone(t *testing.T) {
	open := policy(t, `
metadata: {namespace: agents, name: open}
spec: {podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{ports: [{port: 80}]}]}
`)
	text, _ := Render("test", State{Policies: []*networking.NetworkPolicy{open}})
	expectSection(t, text, "chain policy-0-ingress",
		`comment "agents/open"`, "meta nfproto ipv4 accept")
	expectSection(t, text, "chain policy-0-egress",
		`comment "agents/open"`, "meta nfproto ipv4 meta l4proto . th dport { tcp . 80 } accept")
}

func TestOnlyIPv6PeersAreNobody(t *testing.T) {
	six := policy(t, `
metadata: {namespace: agents, name: six}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "2000::/3"}}]}]}
`)
	text, refusals := Render("test", State{Policies: []*networking.NetworkPolicy{six}})
	expectSection(t, text, "chain policy-0-egress", `comment "agents/six"`)
	if len(refusals) != 0 {
		t.Errorf("refused: %v", refusals)
	}
}

func TestPeersOfOneEntryHaveToHoldTogether(t *testing.T) {
	both := policy(t, `
metadata: {namespace: agents, name: both}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [system]}]}
          podSelector: {matchLabels: {part: gateway}}
        - podSelector: {matchLabels: {part: gateway}}
`)
	state := chartState(t)
	state.Policies = []*networking.NetworkPolicy{both}
	state.Pods = append(state.Pods, pod("agents", "x", "10.219.0.5", map[string]string{"part": "gateway"}))
	text, _ := Render("test", state)
	expectSection(t, text, "set policy-0-egress-0-0",
		"type ipv4_addr", `comment "agents/both"`, "elements = { 10.219.0.4 }")
	expectSection(t, text, "set policy-0-egress-0-1",
		"type ipv4_addr", `comment "agents/both"`, "elements = { 10.219.0.5 }")
}

func TestWhatCannotBeRenderedIsRefused(t *testing.T) {
	for reason, rule := range map[string]string{
		"egress[0].ports[0]: port by name (http)":                        "ports: [{port: http}]",
		"egress[0].ports[0]: a range of ports (endPort)":                 "ports: [{port: 80, endPort: 90}]",
		"egress[0].ports[0]: protocol SCTP":                              "ports: [{protocol: SCTP, port: 80}]",
		"egress[0].ports[0]: a protocol without a port":                  "ports: [{protocol: TCP}]",
		`egress[0].to[0]: CIDR "10.0.0.0"`:                               "to: [{ipBlock: {cidr: 10.0.0.0}}]",
		`egress[0].to[0]: "Near" is not a valid label selector operator`: "to: [{podSelector: {matchExpressions: [{key: a, operator: Near}]}}]",
	} {
		bad := policy(t, "metadata: {namespace: agents, name: bad}\n"+
			"spec: {podSelector: {}, policyTypes: [Egress], egress: [{"+rule+"}]}")
		_, refusals := Render("test", State{Policies: []*networking.NetworkPolicy{bad}})
		if len(refusals) != 1 || !slices.Equal(refusals[0].Reasons, []string{reason}) {
			t.Errorf("%s: %v", reason, refusals)
		}
	}
}

const named = `
metadata: {namespace: agents, name: a-bad}
spec:
  podSelector: {matchLabels: {network: Internet}}
  policyTypes: [Egress]
  egress: [{ports: [{port: http}]}]
`

func TestPodsOfARefusedPolicyAreCutOffBeforeAnyOtherPolicyIsAsked(t *testing.T) {
	state := chartState(t)
	state.Policies = append(state.Policies, policy(t, named))
	text, refusals := Render("test", state)
	if len(refusals) != 1 {
		t.Fatalf("refused: %v", refusals)
	}
	for _, direction := range []string{"egress", "ingress"} {
		own := map[string]string{"egress": "saddr", "ingress": "daddr"}[direction]
		first := section(t, text, "chain "+direction+"-in-agents")[0]
		if first != "ip "+own+" @policy-0-pods "+rejection {
			t.Errorf("%s is asked first: %s", direction, first)
		}
	}
	if strings.Contains(text, "policy-0-egress") {
		t.Error("half of a refused policy is rendered")
	}
}

func TestARefusedPolicyForAWholeNamespaceCutsAllOfItOff(t *testing.T) {
	state := chartState(t)
	whole := policy(t, named)
	whole.Spec.PodSelector = meta.LabelSelector{}
	state.Policies = append(state.Policies, whole)
	text, _ := Render("test", state)
	expectSection(t, text, "chain egress-in-agents", rejection)
	expectSection(t, text, "chain ingress-in-agents", rejection)
}

func TestAnUnreadableSelectorSelectsEverything(t *testing.T) {
	bad := policy(t, `
metadata: {namespace: agents, name: bad}
spec: {podSelector: {matchExpressions: [{key: a, operator: Near}]}, policyTypes: [Ingress]}
`)
	text, refusals := Render("test", State{Policies: []*networking.NetworkPolicy{bad},
		Namespaces: []*core.Namespace{namespace("agents")}})
	if len(refusals) != 1 {
		t.Errorf("refused: %v", refusals)
	}
	expectSection(t, text, "chain egress-in-agents", rejection)
}

func TestWithoutPoliciesNobodyIsIsolated(t *testing.T) {
	state := chartState(t)
	state.Policies = nil
	text, _ := Render("test", state)
	if strings.Contains(text, "reject") {
		t.Errorf("isolated:\n%s", text)
	}
}
