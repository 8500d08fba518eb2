package netpol

import (
	"fmt"
	"slices"
	"strings"

	networking "k8s.io/api/networking/v1"

	"agentsession.dev/localkube/internal/nft"
)

// text puts the table together: sets, policies' chains, then who is subject to which.
func (r *renderer) text(table string) string {
	for _, d := range []direction{egress, ingress} {
		r.addDirection(d)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table)
	for _, part := range slices.Concat(r.sets, r.chains) {
		text.WriteString(part)
	}
	text.WriteString("}\n")
	return text.String()
}

// addDirection adds the chains that lead from a packet to the policies of its pod's namespace.
func (r *renderer) addDirection(d direction) {
	var dispatch []string
	if d.name == egress.name {
		// Nobody knows which IPv6 addresses pods have given themselves.
		dispatch = append(dispatch, fmt.Sprintf("iifname @%s meta nfproto ipv6 drop", nft.LinksSet))
	}
	dispatch = append(dispatch, "ct state established,related accept")
	for _, namespace := range r.namespaceNames() {
		group := r.groups[d.name][namespace]
		if group == nil {
			continue
		}
		chain := fmt.Sprintf("%s-in-%s", d.name, namespace)
		r.addChain(chain, "", group.rules(d))
		dispatch = append(dispatch,
			fmt.Sprintf("ip %s @%s jump %s", d.own, nft.NamespaceSet(namespace), chain))
	}
	r.addChain(d.name, "", dispatch)
	for _, hook := range d.hooks {
		r.addChain(fmt.Sprintf("%s-at-%s", d.name, hook), "", []string{
			fmt.Sprintf("type filter hook %s priority filter - %d; policy accept;", hook, -d.priority),
			"jump " + d.name,
		})
	}
}

// rules returns what one namespace's policies do with a packet of one of its pods.
//
// A pod that is new to the table gets what holds for every pod of its namespace and nothing else:
// its address may still be in the set of a policy that was about its former holder.
func (g *group) rules(d direction) []string {
	var rules []string
	for _, set := range g.refused {
		if set == "" {
			return []string{rejection}
		}
		rules = append(rules, fmt.Sprintf("ip %s @%s %s", d.own, set, rejection))
	}
	for _, chain := range g.general {
		rules = append(rules, "jump "+chain)
	}
	if len(g.specific)+len(g.refused) > 0 {
		rules = append(rules, fmt.Sprintf("ip %s @%s %s", d.own, nft.FreshSet, rejection))
	}
	for _, item := range g.specific {
		rules = append(rules, fmt.Sprintf("ip %s @%s jump %s", d.own, item.set, item.chain))
	}
	if len(g.general) > 0 {
		return append(rules, rejection)
	}
	for _, item := range g.specific {
		rules = append(rules, fmt.Sprintf("ip %s @%s %s", d.own, item.set, rejection))
	}
	return rules
}

func (r *renderer) addSet(name, kind, comment string, elements []string) {
	r.sets = append(r.sets, setText(name, kind, comment, elements, false))
}

func setText(name, kind, comment string, elements []string, intervals bool) string {
	lines := []string{"type " + kind}
	if intervals {
		lines = append(lines, "flags interval", "auto-merge")
	}
	if comment != "" {
		lines = append(lines, fmt.Sprintf("comment %q", comment))
	}
	elements = slices.Compact(elements)
	if len(elements) > 0 {
		lines = append(lines, fmt.Sprintf("elements = { %s }", strings.Join(elements, ", ")))
	}
	return block("set "+name, lines)
}

func (r *renderer) addChain(name, comment string, rules []string) {
	lines := rules
	if comment != "" {
		lines = append([]string{fmt.Sprintf("comment %q", comment)}, rules...)
	}
	r.chains = append(r.chains, block("chain "+name, lines))
}

func block(head string, lines []string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "  %s {\n", head)
	for _, line := range lines {
		fmt.Fprintf(&text, "    %s\n", line)
	}
	text.WriteString("  }\n")
	return text.String()
}

// comment names a policy in what `nft list` shows; nft takes 128 characters.
func comment(policy *networking.NetworkPolicy) string {
	name := policy.Namespace + "/" + policy.Name
	return name[:min(len(name), 120)]
}

func compact(parts ...string) []string {
	return slices.DeleteFunc(parts, func(part string) bool { return part == "" })
}
