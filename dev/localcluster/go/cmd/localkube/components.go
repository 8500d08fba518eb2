package main

import (
	"context"
	"os"
	"sort"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"agentsession.dev/localkube/internal/netpol"
	"agentsession.dev/localkube/internal/provisioner"
)

const etcdName = "etcd"

// components maps a component's name to the constructor of its command. etcd has no cobra
// command of its own: it is listed so that it is known, and started by runEtcd.
var components = map[string]func() *cobra.Command{
	etcdName:                  nil,
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":              kubeproxy.NewProxyCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
	"provisioner":             provisioner.NewCommand,
	"netpol":                  netpol.NewCommand,
}

func componentNames() []string {
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func runEtcd() int {
	etcdmain.Main(append([]string{etcdName}, os.Args[1:]...))
	return 0
}
