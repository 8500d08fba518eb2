package main

import (
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/skel"
	current "github.com/containernetworking/cni/pkg/types/100"

	"agentsession.dev/localkube/internal/attachments"
)

const input = `{
  "cniVersion": "1.0.0", "name": "n", "type": "netpol-cni", "table": "t", "stateDir": "/run/x",
  "prevResult": {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/1"}],
    "ips": [
      {"interface": 1, "address": "fd00::2/64"},
      {"interface": 1, "address": "10.219.0.2/22", "gateway": "10.219.0.1"}
    ]
  }
}`

const podArgs = "IgnoreUnknown=1;K8S_POD_NAMESPACE=agents;K8S_POD_NAME=a-r1-x;K8S_POD_UID=u-1;K8S_POD_INFRA_CONTAINER_ID=c"

func earlier(t *testing.T) *current.Result {
	t.Helper()
	config, err := parse([]byte(input))
	if err != nil {
		t.Fatal(err)
	}
	result, err := current.NewResultFromResult(config.PrevResult)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestAnAttachmentIsWhatTheEarlierPluginAndTheRuntimeSay(t *testing.T) {
	found, err := describe(&skel.CmdArgs{ContainerID: "c", Args: podArgs}, earlier(t))
	if err != nil {
		t.Fatal(err)
	}
	expected := attachments.Attachment{
		ContainerID: "c", Namespace: "agents", Name: "a-r1-x", UID: "u-1",
		Address: "10.219.0.2", Link: "veth1",
	}
	if *found != expected {
		t.Errorf("%+v", *found)
	}
}

func TestWithoutANamespaceAPodIsNotAttached(t *testing.T) {
	if _, err := describe(&skel.CmdArgs{ContainerID: "c", Args: "IgnoreUnknown=1"}, earlier(t)); err == nil {
		t.Error("nobody would know which policies are about it")
	}
}

func TestWithoutAnAddressAPodIsNotAttached(t *testing.T) {
	if _, err := describe(&skel.CmdArgs{Args: podArgs}, &current.Result{}); err == nil {
		t.Error("no rule would be about it")
	}
}

func TestTheConfigurationIsComplete(t *testing.T) {
	for _, field := range []string{"table", "stateDir"} {
		if _, err := parse([]byte(strings.Replace(input, field, "x", 1))); err == nil {
			t.Errorf("without %s", field)
		}
	}
}

func TestFirstInTheChainIsAnError(t *testing.T) {
	first := `{"cniVersion": "1.0.0", "name": "n", "type": "x", "table": "t", "stateDir": "/run/x"}`
	if err := add(&skel.CmdArgs{StdinData: []byte(first)}); err == nil {
		t.Error("a pod without an address cannot be sealed")
	}
}
