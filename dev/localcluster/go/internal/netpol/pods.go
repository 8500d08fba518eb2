package netpol

import (
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"agentsession.dev/localkube/internal/attachments"
)

// endpoint is one pod's address. Labels count only when the pod is known.
type endpoint struct {
	address   string
	namespace string
	link      string
	labels    labels.Set
	known     bool
}

// endpoints joins what the CNI plugin says of addresses with what the API server says of labels.
//
// The plugin is right about who holds an address: the API server hears of it up to a second later,
// and goes on showing it for a pod that is gone. Only for pods that are older than the plugin is the
// API server asked for addresses.
func endpoints(pods []*core.Pod, attached []attachments.Attachment) []endpoint {
	byUID, byName := map[string]*core.Pod{}, map[string]*core.Pod{}
	for _, pod := range pods {
		byUID[string(pod.UID)] = pod
		byName[pod.Namespace+"/"+pod.Name] = pod
	}
	var found []endpoint
	taken, done := map[string]bool{}, map[*core.Pod]bool{}
	for _, item := range attached {
		pod := byUID[item.UID]
		if item.UID == "" {
			pod = byName[item.Namespace+"/"+item.Name]
		}
		next := endpoint{address: item.Address, namespace: item.Namespace, link: item.Link}
		if pod != nil {
			next.labels, next.known = pod.Labels, true
			done[pod] = true
		}
		taken[item.Address] = true
		found = append(found, next)
	}
	for _, pod := range pods {
		address, err := netip.ParseAddr(pod.Status.PodIP)
		if done[pod] || err != nil || !address.Is4() || pod.Spec.HostNetwork || isFinished(pod) {
			continue
		}
		if text := address.String(); !taken[text] {
			found = append(found, endpoint{
				address: text, namespace: pod.Namespace, labels: pod.Labels, known: true,
			})
		}
	}
	slices.SortFunc(found, func(a, b endpoint) int { return strings.Compare(a.address, b.address) })
	return found
}

func isFinished(pod *core.Pod) bool {
	return pod.Status.Phase == core.PodSucceeded || pod.Status.Phase == core.PodFailed
}
