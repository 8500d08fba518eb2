// Command netpol-cni is a chained CNI plugin: before a pod's first process runs, it makes the
// pod's address subject to its namespace's network policies. It is development equipment.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"agentsession.dev/localkube/internal/attachments"
	"agentsession.dev/localkube/internal/nft"
)

type configuration struct {
	types.NetConf
	Table    string `json:"table"`
	StateDir string `json:"stateDir"`
}

// podArguments are what the runtime says of the pod in CNI_ARGS; the fields are called like the keys.
type podArguments struct {
	types.CommonArgs
	K8S_POD_NAMESPACE types.UnmarshallableString
	K8S_POD_NAME      types.UnmarshallableString
	K8S_POD_UID       types.UnmarshallableString
}

func main() {
	skel.PluginMainFuncs(
		skel.CNIFuncs{Add: add, Del: del, Check: check},
		version.All,
		"enforces network policies from a pod's first packet",
	)
}

func add(arguments *skel.CmdArgs) error {
	config, err := parse(arguments.StdinData)
	if err != nil {
		return err
	}
	if config.PrevResult == nil {
		return errors.New("no result of an earlier plugin: this one comes after the one that gives addresses")
	}
	result, err := current.NewResultFromResult(config.PrevResult)
	if err != nil {
		return fmt.Errorf("reading the earlier plugin's result: %w", err)
	}
	attachment, err := describe(arguments, result)
	if err != nil {
		return err
	}
	store, err := attachments.Open(config.StateDir)
	if err != nil {
		return err
	}
	if err := store.Locked(func() error { return attach(store, config.Table, *attachment) }); err != nil {
		return fmt.Errorf(
			"%w; pods are attached once the network policy controller has written its rules: "+
				"see its log", err)
	}
	return types.PrintResult(config.PrevResult, config.CNIVersion)
}

func del(arguments *skel.CmdArgs) error {
	config, err := parse(arguments.StdinData)
	if err != nil {
		return err
	}
	store, err := attachments.Open(config.StateDir)
	if err != nil {
		return err
	}
	return store.Locked(func() error {
		attachment, err := store.Get(arguments.ContainerID)
		if err != nil || attachment == nil {
			return err
		}
		return detach(store, config.Table, *attachment)
	})
}

func check(*skel.CmdArgs) error {
	return nil
}

func parse(input []byte) (*configuration, error) {
	config := &configuration{}
	if err := json.Unmarshal(input, config); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if config.Table == "" || config.StateDir == "" {
		return nil, errors.New("the configuration needs table and stateDir")
	}
	if err := version.ParsePrevResult(&config.NetConf); err != nil {
		return nil, fmt.Errorf("reading the earlier plugin's result: %w", err)
	}
	return config, nil
}

func describe(arguments *skel.CmdArgs, result *current.Result) (*attachments.Attachment, error) {
	pod := podArguments{}
	if err := types.LoadArgs(arguments.Args, &pod); err != nil {
		return nil, fmt.Errorf("reading CNI_ARGS: %w", err)
	}
	if pod.K8S_POD_NAMESPACE == "" {
		return nil, errors.New("CNI_ARGS has no K8S_POD_NAMESPACE")
	}
	address := ipv4(result)
	if address == nil {
		return nil, errors.New("the earlier plugin gave no IPv4 address")
	}
	return &attachments.Attachment{
		ContainerID: arguments.ContainerID,
		Namespace:   string(pod.K8S_POD_NAMESPACE),
		Name:        string(pod.K8S_POD_NAME),
		UID:         string(pod.K8S_POD_UID),
		Address:     address.String(),
		Link:        hostLink(result),
	}, nil
}

func ipv4(result *current.Result) net.IP {
	for _, given := range result.IPs {
		if address := given.Address.IP.To4(); address != nil {
			return address
		}
	}
	return nil
}

func hostLink(result *current.Result) string {
	for _, link := range result.Interfaces {
		if link.Sandbox == "" {
			return link.Name
		}
	}
	return ""
}

// attach replaces whatever still holds the address: its pod is gone without a DEL.
func attach(store *attachments.Store, table string, attachment attachments.Attachment) error {
	known, err := store.List()
	if err != nil {
		return err
	}
	for _, old := range known {
		if old.Address == attachment.Address && old.ContainerID != attachment.ContainerID {
			if err := detach(store, table, old); err != nil {
				return err
			}
		}
	}
	if err := store.Put(attachment); err != nil {
		return err
	}
	change := nft.Attach(table, attachment.Namespace, attachment.Address, attachment.Link)
	if err := nft.Load(context.Background(), change); err != nil {
		return errors.Join(err, store.Remove(attachment.ContainerID))
	}
	return nil
}

// detach fails if the table is there and cannot be changed; the runtime then tries again, and the
// address is not given to another pod meanwhile.
func detach(store *attachments.Store, table string, attachment attachments.Attachment) error {
	change := nft.Detach(table, attachment.Namespace, attachment.Address, attachment.Link)
	ctx := context.Background()
	if err := nft.Load(ctx, change); err != nil && nft.Exists(ctx, table) {
		return err
	}
	return store.Remove(attachment.ContainerID)
}
