package netpol

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"agentsession.dev/localkube/internal/attachments"
	"agentsession.dev/localkube/internal/nft"
)

const (
	// gather is how long changes are collected: one start of a pod is several of them.
	gather = 10 * time.Millisecond
	// repair is how often the table is written although nothing has changed, should somebody have
	// removed it.
	repair = 30 * time.Second
	// again is the wait after a failure.
	again = time.Second

	eventReason = "NetworkPolicyRefused"
)

// Controller keeps the table of network policies what the API server and the CNI plugin say.
type Controller struct {
	table      string
	store      *attachments.Store
	policies   networkinglisters.NetworkPolicyLister
	namespaces corelisters.NamespaceLister
	pods       corelisters.PodLister
	informers  informers.SharedInformerFactory
	synced     []cache.InformerSynced
	recorder   record.EventRecorder
	changed    chan struct{}
	loaded     string
	told       map[string]bool

	mutex   sync.Mutex
	failure error
	refused []string
}

// NewController returns a controller that has not started to watch yet.
func NewController(
	client kubernetes.Interface, store *attachments.Store, table string, recorder record.EventRecorder,
) (*Controller, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	policies := factory.Networking().V1().NetworkPolicies()
	namespaces, pods := factory.Core().V1().Namespaces(), factory.Core().V1().Pods()
	controller := &Controller{
		table:      table,
		store:      store,
		policies:   policies.Lister(),
		namespaces: namespaces.Lister(),
		pods:       pods.Lister(),
		informers:  factory,
		recorder:   recorder,
		changed:    make(chan struct{}, 1),
		told:       map[string]bool{},
		failure:    errors.New("the rules are not written yet"),
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { controller.mark() },
		UpdateFunc: func(_, _ any) { controller.mark() },
		DeleteFunc: func(any) { controller.mark() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		policies.Informer(), namespaces.Informer(), pods.Informer(),
	} {
		registration, err := informer.AddEventHandler(handler)
		if err != nil {
			return nil, fmt.Errorf("watching: %w", err)
		}
		controller.synced = append(controller.synced, registration.HasSynced)
	}
	return controller, nil
}

// Run keeps the table up to date until the context ends. The table stays: pods stay sealed.
func (c *Controller) Run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching attachments: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(c.store.Directory()); err != nil {
		return fmt.Errorf("watching attachments: %w", err)
	}
	go c.followAttachments(ctx, watcher)
	c.informers.Start(ctx.Done())
	// Rules made from half of the policies would open what the other half closes.
	if !cache.WaitForCacheSync(ctx.Done(), c.synced...) {
		return nil
	}
	c.mark()
	c.keep(ctx)
	return nil
}

func (c *Controller) keep(ctx context.Context) {
	timer := time.NewTimer(repair)
	defer timer.Stop()
	for {
		isRepair := false
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
			time.Sleep(gather)
		case <-timer.C:
			isRepair = true
		}
		wait := repair
		err := c.write(ctx, isRepair)
		c.setFailure(err)
		if err != nil {
			klog.ErrorS(err, "the rules are not what they should be")
			c.loaded, wait = "", again
		}
		timer.Reset(wait)
	}
}

// write renders and loads, unless the table is that already.
func (c *Controller) write(ctx context.Context, isRepair bool) error {
	state, err := c.state()
	if err != nil {
		return err
	}
	var refusals []Refusal
	err = c.store.Locked(func() error {
		if state.Attachments, err = c.store.List(); err != nil {
			return err
		}
		var ruleset string
		ruleset, refusals = Render(c.table, state)
		if ruleset == c.loaded && !isRepair {
			return nil
		}
		if err := nft.Load(ctx, ruleset); err != nil {
			return err
		}
		c.loaded = ruleset
		return nil
	})
	if err != nil {
		return err
	}
	c.tell(refusals)
	return nil
}

func (c *Controller) state() (State, error) {
	var state State
	var err error
	if state.Policies, err = c.policies.List(labels.Everything()); err != nil {
		return state, fmt.Errorf("listing policies: %w", err)
	}
	if state.Namespaces, err = c.namespaces.List(labels.Everything()); err != nil {
		return state, fmt.Errorf("listing namespaces: %w", err)
	}
	if state.Pods, err = c.pods.List(labels.Everything()); err != nil {
		return state, fmt.Errorf("listing pods: %w", err)
	}
	return state, nil
}

// tell says once per version of a policy that it is refused: in the log and as an Event.
func (c *Controller) tell(refusals []Refusal) {
	told := map[string]bool{}
	lines := make([]string, 0, len(refusals))
	for _, refusal := range refusals {
		policy, reasons := refusal.Policy, strings.Join(refusal.Reasons, "; ")
		lines = append(lines, fmt.Sprintf("%s/%s: %s", policy.Namespace, policy.Name, reasons))
		version := fmt.Sprintf("%s/%d", policy.UID, policy.Generation)
		told[version] = true
		if c.told[version] {
			continue
		}
		klog.ErrorS(nil, "this policy is refused, its pods are cut off from everything",
			"policy", klog.KObj(policy), "reasons", reasons)
		c.recorder.Eventf(policy, core.EventTypeWarning, eventReason,
			"The local cluster cannot enforce this policy and cuts its pods off from everything: %s",
			reasons)
	}
	c.told = told
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.refused = lines
}

// Failure returns why the rules are not what they should be, nil if they are.
func (c *Controller) Failure() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.failure
}

// Refused returns one line for each policy that is refused.
func (c *Controller) Refused() []string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.refused
}

func (c *Controller) setFailure(err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.failure = err
}

func (c *Controller) mark() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *Controller) followAttachments(ctx context.Context, watcher *fsnotify.Watcher) {
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-watcher.Errors:
			klog.ErrorS(err, "watching attachments")
			c.mark()
		case <-watcher.Events:
			c.mark()
		}
	}
}
