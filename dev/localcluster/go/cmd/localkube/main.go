// Command localkube is one program with a whole Kubernetes in it: etcd, the control plane,
// the node agents, kubectl, a provisioner of node-local volumes and a network policy controller.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

const programName = "localkube"

func main() {
	os.Exit(run())
}

// run picks the component by the program's own name (a link called kubectl is kubectl),
// otherwise by the first argument.
func run() int {
	name := filepath.Base(os.Args[0])
	if _, known := components[name]; !known && len(os.Args) > 1 {
		name = os.Args[1]
		os.Args = os.Args[1:]
	}
	start, known := components[name]
	if !known {
		fmt.Fprintf(os.Stderr, "usage: %s COMPONENT [flags]\ncomponents: %s\n",
			programName, strings.Join(componentNames(), ", "))
		return 2
	}
	if name == etcdName {
		return runEtcd()
	}
	return cli.Run(start())
}
