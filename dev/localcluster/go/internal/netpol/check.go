package netpol

import (
	"fmt"
	"net/netip"
	"slices"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// unsupported returns why a policy cannot be rendered, one reason per construct; nil if it can.
// The constructs are those of this project's chart: anything else is refused, not approximated.
func unsupported(policy *networking.NetworkPolicy) []string {
	var reasons []string
	if _, err := meta.LabelSelectorAsSelector(&policy.Spec.PodSelector); err != nil {
		reasons = append(reasons, fmt.Sprintf("podSelector: %v", err))
	}
	for number, rule := range policy.Spec.Ingress {
		where := fmt.Sprintf("ingress[%d]", number)
		reasons = append(reasons, unsupportedRule(where+".from", rule.From, where, rule.Ports)...)
	}
	for number, rule := range policy.Spec.Egress {
		where := fmt.Sprintf("egress[%d]", number)
		reasons = append(reasons, unsupportedRule(where+".to", rule.To, where, rule.Ports)...)
	}
	return reasons
}

func unsupportedRule(
	peersPath string, peers []networking.NetworkPolicyPeer, where string, ports []networking.NetworkPolicyPort,
) []string {
	var reasons []string
	for number, peer := range peers {
		for _, reason := range unsupportedPeer(peer) {
			reasons = append(reasons, fmt.Sprintf("%s[%d]: %s", peersPath, number, reason))
		}
	}
	for number, port := range ports {
		if reason := unsupportedPort(port); reason != "" {
			reasons = append(reasons, fmt.Sprintf("%s.ports[%d]: %s", where, number, reason))
		}
	}
	return reasons
}

func unsupportedPeer(peer networking.NetworkPolicyPeer) []string {
	var reasons []string
	for _, selector := range []*meta.LabelSelector{peer.NamespaceSelector, peer.PodSelector} {
		if _, err := meta.LabelSelectorAsSelector(selector); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if peer.IPBlock == nil {
		return reasons
	}
	for _, text := range append([]string{peer.IPBlock.CIDR}, peer.IPBlock.Except...) {
		if _, err := netip.ParsePrefix(text); err != nil {
			reasons = append(reasons, fmt.Sprintf("CIDR %q", text))
		}
	}
	return reasons
}

func unsupportedPort(port networking.NetworkPolicyPort) string {
	switch {
	case port.Protocol != nil && *port.Protocol != core.ProtocolTCP && *port.Protocol != core.ProtocolUDP:
		return fmt.Sprintf("protocol %s", *port.Protocol)
	case port.EndPort != nil:
		return "a range of ports (endPort)"
	case port.Port == nil:
		return "a protocol without a port"
	case port.Port.IntValue() <= 0 || port.Port.StrVal != "":
		return fmt.Sprintf("port by name (%s)", port.Port.String())
	}
	return ""
}

// directions returns whether a policy isolates its pods for ingress and for egress.
func directions(policy *networking.NetworkPolicy) (ingress, egress bool) {
	return slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeIngress),
		slices.Contains(policy.Spec.PolicyTypes, networking.PolicyTypeEgress)
}
