package provisioner

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// workers is how many claims are served at once; making a directory takes no time, the API
// calls around it do.
const workers = 8

type options struct {
	kubeconfig string
	volumesDir string
	nodeName   string
	name       string
	qps        float32
	burst      int
}

// NewCommand returns the command that serves claims until it is told to stop.
func NewCommand() *cobra.Command {
	opts := options{}
	command := &cobra.Command{
		Use:          "provisioner",
		Short:        "Serves PersistentVolumeClaims with directories on this node",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return run(command, opts)
		},
	}
	flags := command.Flags()
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "path of the kubeconfig to use")
	flags.StringVar(&opts.volumesDir, "volumes-dir", "", "directory in which volumes are made")
	flags.StringVar(&opts.nodeName, "node-name", "", "name of the node that the directory is on")
	flags.StringVar(&opts.name, "provisioner-name", "", "provisioner name in the StorageClass")
	flags.Float32Var(&opts.qps, "kube-api-qps", 100, "requests per second to the API server")
	flags.IntVar(&opts.burst, "kube-api-burst", 200, "burst of requests to the API server")
	for _, required := range []string{"kubeconfig", "volumes-dir", "node-name", "provisioner-name"} {
		if err := command.MarkFlagRequired(required); err != nil {
			panic(err)
		}
	}
	return command
}

func run(command *cobra.Command, opts options) error {
	config, err := clientcmd.BuildConfigFromFlags("", opts.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %s: %w", opts.kubeconfig, err)
	}
	config.QPS, config.Burst = opts.qps, opts.burst
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the API client: %w", err)
	}
	directories, err := New(opts.volumesDir, opts.nodeName)
	if err != nil {
		return err
	}
	ctx := command.Context()
	controller.NewProvisionController(ctx, client, opts.name, directories,
		controller.LeaderElection(false),
		controller.Threadiness(workers),
	).Run(ctx)
	return nil
}
