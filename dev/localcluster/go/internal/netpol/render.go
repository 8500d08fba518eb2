// Package netpol enforces NetworkPolicies with nftables on the one node of a development cluster.
package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"agentsession.dev/localkube/internal/attachments"
	"agentsession.dev/localkube/internal/nft"
)

// State is all that the rules follow from.
type State struct {
	Policies    []*networking.NetworkPolicy
	Namespaces  []*core.Namespace
	Pods        []*core.Pod
	Attachments []attachments.Attachment
}

// Refusal is a policy that cannot be rendered. Its pods are cut off from everything.
type Refusal struct {
	Policy  *networking.NetworkPolicy
	Reasons []string
}

// Render returns the whole nftables table for a state, replacing an earlier one, and the policies
// that it refuses. The same state gives the same text.
//
// Rules are about pods' addresses and the ports they listen on, since kube-proxy has rewritten
// Services' addresses before. Packets between pods pass the forward hook, those to the host the
// input hook; what the host itself sends to pods (probes) passes neither.
func Render(table string, state State) (string, []Refusal) {
	renderer := newRenderer(state)
	for number, policy := range renderer.policies {
		renderer.addPolicy(number, policy)
	}
	return renderer.text(table), renderer.refusals
}

const rejection = "reject with icmpx admin-prohibited"

// direction has the words that differ between what a pod sends and what it is sent.
type direction struct {
	name  string
	own   string
	peer  string
	hooks []string
	// Egress first: each base chain is asked by itself, so that one's accept is not the other's.
	priority int
}

var (
	egress  = direction{"egress", "saddr", "daddr", []string{"forward", "input"}, -6}
	ingress = direction{"ingress", "daddr", "saddr", []string{"forward"}, -5}
)

// group is how the policies of one namespace decide about one direction.
type group struct {
	refused  []string // sets of pods; "" is the whole namespace
	general  []string // chains of policies for every pod
	specific []specific
}

type specific struct {
	set   string
	chain string
}

type renderer struct {
	policies   []*networking.NetworkPolicy
	namespaces map[string]labels.Set
	endpoints  []endpoint
	sets       []string
	chains     []string
	groups     map[string]map[string]*group // direction, namespace
	refusals   []Refusal
}

func newRenderer(state State) *renderer {
	r := &renderer{
		policies:   slices.Clone(state.Policies),
		namespaces: map[string]labels.Set{},
		endpoints:  endpoints(state.Pods, state.Attachments),
		groups:     map[string]map[string]*group{egress.name: {}, ingress.name: {}},
	}
	slices.SortFunc(r.policies, func(a, b *networking.NetworkPolicy) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	for _, namespace := range state.Namespaces {
		r.namespaces[namespace.Name] = namespace.Labels
	}
	for _, item := range r.endpoints {
		if _, known := r.namespaces[item.namespace]; !known {
			r.namespaces[item.namespace] = labels.Set{}
		}
	}
	r.addCommonSets()
	return r
}

func (r *renderer) addCommonSets() {
	members := map[string][]string{}
	var fresh, links []string
	for _, item := range r.endpoints {
		members[item.namespace] = append(members[item.namespace], item.address)
		if !item.known {
			fresh = append(fresh, item.address)
		}
		if item.link != "" {
			links = append(links, fmt.Sprintf("%q", item.link))
		}
	}
	slices.Sort(links)
	r.addSet(nft.LinksSet, "ifname", "", links)
	r.addSet(nft.FreshSet, "ipv4_addr", "", fresh)
	for _, name := range r.namespaceNames() {
		r.addSet(nft.NamespaceSet(name), "ipv4_addr", "", members[name])
	}
}

func (r *renderer) namespaceNames() []string {
	names := make([]string, 0, len(r.namespaces))
	for name := range r.namespaces {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// addPolicy adds a policy's chains, or has its pods cut off.
func (r *renderer) addPolicy(number int, policy *networking.NetworkPolicy) {
	set := r.addSubjects(number, policy)
	if reasons := unsupported(policy); len(reasons) > 0 {
		r.refusals = append(r.refusals, Refusal{policy, reasons})
		for _, name := range []string{egress.name, ingress.name} {
			into := r.group(name, policy.Namespace)
			into.refused = append(into.refused, set)
		}
		return
	}
	isIngress, isEgress := directions(policy)
	if isEgress {
		rules := make([]string, 0)
		for index, rule := range policy.Spec.Egress {
			rules = append(rules, r.rule(number, index, egress, policy, rule.To, rule.Ports)...)
		}
		r.addDecision(number, egress, policy, set, rules)
	}
	if isIngress {
		rules := make([]string, 0)
		for index, rule := range policy.Spec.Ingress {
			rules = append(rules, r.rule(number, index, ingress, policy, rule.From, rule.Ports)...)
		}
		r.addDecision(number, ingress, policy, set, rules)
	}
}

// addSubjects returns the set of the pods that a policy selects, "" if it is the whole namespace.
// A selector that cannot be read selects everything: its policy is refused.
func (r *renderer) addSubjects(number int, policy *networking.NetworkPolicy) string {
	selector, err := meta.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	if err != nil || selector.Empty() {
		return ""
	}
	name := fmt.Sprintf("policy-%d-pods", number)
	r.addSet(name, "ipv4_addr", comment(policy), r.matching([]string{policy.Namespace}, selector))
	return name
}

func (r *renderer) addDecision(
	number int, d direction, policy *networking.NetworkPolicy, set string, rules []string,
) {
	chain := fmt.Sprintf("policy-%d-%s", number, d.name)
	r.addChain(chain, comment(policy), rules)
	into := r.group(d.name, policy.Namespace)
	if set == "" {
		into.general = append(into.general, chain)
	} else {
		into.specific = append(into.specific, specific{set, chain})
	}
}

func (r *renderer) group(direction, namespace string) *group {
	if r.groups[direction][namespace] == nil {
		r.groups[direction][namespace] = &group{}
	}
	return r.groups[direction][namespace]
}

// rule returns the statements that accept what one rule of a policy allows.
func (r *renderer) rule(
	number, index int, d direction, policy *networking.NetworkPolicy,
	peers []networking.NetworkPolicyPeer, ports []networking.NetworkPolicyPort,
) []string {
	matches := []string{"meta nfproto ipv4"}
	if len(peers) > 0 {
		matches = nil
	}
	for position, peer := range peers {
		name := fmt.Sprintf("policy-%d-%s-%d-%d", number, d.name, index, position)
		matches = append(matches, r.peer(name, d, policy, peer)...)
	}
	statements := make([]string, 0, len(matches))
	for _, match := range matches {
		statements = append(statements, strings.Join(compact(match, portMatch(ports), "accept"), " "))
	}
	return statements
}

// peer returns the matches of one peer: any of them is enough.
func (r *renderer) peer(
	name string, d direction, policy *networking.NetworkPolicy, peer networking.NetworkPolicyPeer,
) []string {
	if peer.IPBlock != nil {
		return r.block(name, d, policy, peer.IPBlock)
	}
	namespaces := []string{policy.Namespace}
	if peer.NamespaceSelector != nil {
		selector, _ := meta.LabelSelectorAsSelector(peer.NamespaceSelector)
		namespaces = nil
		for _, candidate := range r.namespaceNames() {
			if selector.Matches(r.namespaces[candidate]) {
				namespaces = append(namespaces, candidate)
			}
		}
	}
	selector := labels.Everything()
	if peer.PodSelector != nil {
		selector, _ = meta.LabelSelectorAsSelector(peer.PodSelector)
	}
	if selector.Empty() {
		// The plugin keeps these sets, so that a new pod is a peer from its first packet.
		matches := make([]string, 0, len(namespaces))
		for _, namespace := range namespaces {
			matches = append(matches, fmt.Sprintf("ip %s @%s", d.peer, nft.NamespaceSet(namespace)))
		}
		return matches
	}
	r.addSet(name, "ipv4_addr", comment(policy), r.matching(namespaces, selector))
	// An address that has a new holder is not what it was.
	return []string{fmt.Sprintf("ip %s != @%s ip %s @%s", d.peer, nft.FreshSet, d.peer, name)}
}

// block returns the match of a range of addresses. The cluster has IPv4 only: pods send no IPv6.
func (r *renderer) block(
	name string, d direction, policy *networking.NetworkPolicy, block *networking.IPBlock,
) []string {
	outer := netip.MustParsePrefix(block.CIDR)
	if !outer.Addr().Is4() {
		return nil
	}
	match := fmt.Sprintf("ip %s %s", d.peer, outer.Masked())
	if len(block.Except) > 0 {
		r.sets = append(r.sets, setText(name, "ipv4_addr", comment(policy), block.Except, true))
		match += fmt.Sprintf(" ip %s != @%s", d.peer, name)
	}
	return []string{match}
}

// matching returns the addresses of known pods, sorted.
func (r *renderer) matching(namespaces []string, selector labels.Selector) []string {
	var found []string
	for _, item := range r.endpoints {
		if item.known && slices.Contains(namespaces, item.namespace) && selector.Matches(item.labels) {
			found = append(found, item.address)
		}
	}
	return found
}

func portMatch(ports []networking.NetworkPolicyPort) string {
	if len(ports) == 0 {
		return ""
	}
	elements := make([]string, 0, len(ports))
	for _, port := range ports {
		protocol := "tcp"
		if port.Protocol != nil {
			protocol = strings.ToLower(string(*port.Protocol))
		}
		elements = append(elements, fmt.Sprintf("%s . %d", protocol, port.Port.IntValue()))
	}
	slices.Sort(elements)
	return fmt.Sprintf("meta l4proto . th dport { %s }", strings.Join(slices.Compact(elements), ", "))
}
