// Package nft has the names in the table of network policies, the changes that the CNI plugin
// makes to it, and the call of the nft program.
package nft

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

const (
	// FreshSet holds the addresses whose pods' labels the table does not know yet.
	FreshSet = "fresh"
	// LinksSet holds the pods' interfaces on the host.
	LinksSet = "links"
)

// NamespaceSet returns the name of the set with the addresses of a namespace's pods.
func NamespaceSet(namespace string) string {
	return "pods-" + namespace
}

// Attach returns the change that makes a new pod subject to its namespace's policies. The table
// must be there: without it nothing would be enforced.
func Attach(table, namespace, address, link string) string {
	set := NamespaceSet(namespace)
	lines := []string{
		// A namespace that is newer than the table; an existing set stays as it is.
		fmt.Sprintf("add set inet %s %s { type ipv4_addr; }", table, set),
		fmt.Sprintf("add element inet %s %s { %s }", table, set, address),
		fmt.Sprintf("add element inet %s %s { %s }", table, FreshSet, address),
	}
	if link != "" {
		lines = append(lines, fmt.Sprintf("add element inet %s %s { %q }", table, LinksSet, link))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Detach returns the change that takes a pod's address out of every set that Attach put it into.
func Detach(table, namespace, address, link string) string {
	set := NamespaceSet(namespace)
	lines := []string{fmt.Sprintf("add set inet %s %s { type ipv4_addr; }", table, set)}
	lines = append(lines, remove(table, set, address)...)
	lines = append(lines, remove(table, FreshSet, address)...)
	if link != "" {
		lines = append(lines, remove(table, LinksSet, fmt.Sprintf("%q", link))...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// remove deletes an element that may be missing: nft 1.0.6 has no `destroy`.
func remove(table, set, element string) []string {
	return []string{
		fmt.Sprintf("add element inet %s %s { %s }", table, set, element),
		fmt.Sprintf("delete element inet %s %s { %s }", table, set, element),
	}
}

// Load applies a ruleset or a change, all of it or nothing.
func Load(ctx context.Context, ruleset string) error {
	command := exec.CommandContext(ctx, "nft", "-f", "-")
	command.Stdin = strings.NewReader(ruleset)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

// Exists returns whether a table is there.
func Exists(ctx context.Context, table string) bool {
	return exec.CommandContext(ctx, "nft", "list", "table", "inet", table).Run() == nil
}
