package netpol

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"

	"agentsession.dev/localkube/internal/attachments"
)

const (
	component      = "localcluster-netpol"
	requestTimeout = 10 * time.Second
)

type options struct {
	kubeconfig string
	stateDir   string
	table      string
	health     string
}

// NewCommand returns the command that enforces network policies until it is told to stop.
func NewCommand() *cobra.Command {
	opts := options{}
	command := &cobra.Command{
		Use:          "netpol",
		Short:        "Enforces NetworkPolicies with nftables, for development",
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) error {
			return run(command.Context(), opts)
		},
	}
	flags := command.Flags()
	flags.StringVar(&opts.kubeconfig, "kubeconfig", "", "path of the kubeconfig to use")
	flags.StringVar(&opts.stateDir, "state-dir", "", "folder that is shared with the CNI plugin")
	flags.StringVar(&opts.table, "table", "", "name of the nftables table, which is replaced")
	flags.StringVar(&opts.health, "health-address", "", "address and port to answer health checks on")
	for _, required := range []string{"kubeconfig", "state-dir", "table", "health-address"} {
		if err := command.MarkFlagRequired(required); err != nil {
			panic(err)
		}
	}
	return command
}

func run(ctx context.Context, opts options) error {
	config, err := clientcmd.BuildConfigFromFlags("", opts.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %s: %w", opts.kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the API client: %w", err)
	}
	store, err := attachments.Open(opts.stateDir)
	if err != nil {
		return err
	}
	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typed.EventSinkImpl{Interface: client.CoreV1().Events("")})
	recorder := broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: component})
	controller, err := NewController(client, store, opts.table, recorder)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	server := &http.Server{
		Addr: opts.health, Handler: handler(controller), ReadHeaderTimeout: requestTimeout,
	}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			stop(fmt.Errorf("answering health checks: %w", err))
		}
	}()
	defer server.Close()
	if err := controller.Run(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// handler answers /healthz, and /refused with one line for each policy that is refused.
func handler(controller *Controller) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		if err := controller.Failure(); err != nil {
			http.Error(answer, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(answer, "ok")
	})
	mux.HandleFunc("/refused", func(answer http.ResponseWriter, _ *http.Request) {
		for _, line := range controller.Refused() {
			fmt.Fprintln(answer, strings.ReplaceAll(line, "\n", " "))
		}
	})
	return mux
}
