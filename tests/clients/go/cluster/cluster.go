// Package cluster runs three `rutile serve` processes on loopback for tests of clients: it starts
// them in a temporary directory on free ports, waits until a write succeeds, kills and restarts
// single nodes, and never leaves a process behind.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
)

const (
	nodeCount    = 3
	readyTimeout = 30 * time.Second
	stopTimeout  = 15 * time.Second
)

// Node is one `rutile serve` process. Its name, address and directory outlive the process.
type Node struct {
	Name string
	Addr string

	dataDir string
	logPath string

	mu      sync.Mutex
	process *process // Nil while the node is down.
}

// process is one run of a node; done is closed when it has been reaped, with state set before.
type process struct {
	cmd   *exec.Cmd
	done  chan struct{}
	state string
	clean bool // Exit status 0.
}

// Cluster is three nodes that know each other. Its methods may be called from any goroutine, but
// not two at once for the same node.
type Cluster struct {
	Nodes []*Node
	API   kvrpcpb.APIVersion // What its clients use: V1 or V2.

	binary string
	dir    string
	flags  []string // Of every node, beside those that each has of its own.
}

// Start runs a fresh cluster of `binary` and waits until it takes a write (30 s at most). On an
// error nothing is left running, and the error names the directory with the logs. It holds keyspaces
// (API V2) if RUTILE_API_VERSION says "v2".
func Start(ctx context.Context, binary string) (*Cluster, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("no server to test: %w", err)
	}
	dir, err := os.MkdirTemp(os.Getenv("RUTILE_TEST_DIR"), "rutile-clients-")
	if err != nil {
		return nil, err
	}
	addrs, err := freeAddrs(nodeCount)
	if err != nil {
		return nil, err
	}
	c := &Cluster{binary: binary, dir: dir, API: apiVersion()}
	if os.Getenv(secureFlag) != "" {
		if c.flags, err = secure(dir); err != nil {
			return nil, err
		}
	}
	for i, addr := range addrs {
		name := fmt.Sprintf("n%d", i+1)
		c.Nodes = append(c.Nodes, &Node{
			Name:    name,
			Addr:    addr,
			dataDir: filepath.Join(dir, name),
			logPath: filepath.Join(dir, name+".log"),
		})
	}
	for _, node := range c.Nodes {
		if err := c.Restart(node); err != nil {
			c.KillAll()
			return nil, err
		}
	}
	if err := c.WaitReady(ctx); err != nil {
		c.KillAll()
		return nil, fmt.Errorf("%w\n%s", err, c.LogTails())
	}
	return c, nil
}

func apiVersion() kvrpcpb.APIVersion {
	if os.Getenv("RUTILE_API_VERSION") == "v2" {
		return kvrpcpb.APIVersion_V2
	}
	return kvrpcpb.APIVersion_V1
}

// HasKeyspaces tells whether the cluster is one of API V2.
func (c *Cluster) HasKeyspaces() bool { return c.API == kvrpcpb.APIVersion_V2 }

// Run runs the program itself as a client of the cluster, as a user would from a shell: `rutile
// ARG...`. It returns what was printed.
func (c *Cluster) Run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binary, args...)
	cmd.Env = append(os.Environ(), "RUTILE_ENDPOINTS="+strings.Join(c.Endpoints(), ","))
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// Endpoints are the addresses for clients: each node serves placement and the store on one port.
func (c *Cluster) Endpoints() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// Restart runs a node that is down, on its old directory and port. It does not wait for it to serve.
func (c *Cluster) Restart(node *Node) error {
	node.mu.Lock()
	defer node.mu.Unlock()
	if node.process != nil {
		return fmt.Errorf("%s runs already", node.Name)
	}
	log, err := os.OpenFile(node.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	var members []string
	for _, n := range c.Nodes {
		members = append(members, n.Name+"="+n.Addr)
	}
	cmd := exec.Command(c.binary, append([]string{"serve", "--name", node.Name, "--listen", node.Addr,
		"--data", node.dataDir, "--cluster", strings.Join(members, ",")}, c.flags...)...)
	if c.HasKeyspaces() {
		cmd.Args = append(cmd.Args, "--api-version", "v2")
	}
	cmd.Stdout, cmd.Stderr = log, log
	// The node dies with this process, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startOnLastingThread(cmd); err != nil {
		return err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		p.clean = err == nil
		p.state = cmd.ProcessState.String()
		close(p.done)
	}()
	node.process = p
	return nil
}

// Kill sends SIGKILL and waits until the process is gone. It returns the time just before the
// signal.
func (c *Cluster) Kill(node *Node) time.Time {
	node.mu.Lock()
	defer node.mu.Unlock()
	at := time.Now()
	if p := node.process; p != nil {
		p.cmd.Process.Kill()
		<-p.done
		node.process = nil
	}
	return at
}

// KillAll kills every node at once.
func (c *Cluster) KillAll() {
	var wg sync.WaitGroup
	for _, node := range c.Nodes {
		wg.Go(func() { c.Kill(node) })
	}
	wg.Wait()
}

// Stop ends all nodes as an operator would, with SIGTERM. A node that had died before, does not
// stop in time or exits with an error is an error. With `keep` the directory with data and logs
// stays.
func (c *Cluster) Stop(keep bool) error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, node := range c.Nodes {
		wg.Go(func() { errs[i] = node.stop() })
	}
	wg.Wait()
	err := errors.Join(errs...)
	if !keep && err == nil {
		return os.RemoveAll(c.dir)
	}
	return err
}

func (n *Node) stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.process
	if p == nil {
		return nil
	}
	n.process = nil
	select {
	case <-p.done:
		return fmt.Errorf("%s had died: %s", n.Name, p.state)
	default:
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %s of SIGTERM", n.Name, stopTimeout)
	}
	if !p.clean {
		return fmt.Errorf("%s stopped with an error: %s", n.Name, p.state)
	}
	return nil
}

// died tells of a node whose process has ended by itself; empty if there is none.
func (c *Cluster) died() string {
	for _, node := range c.Nodes {
		node.mu.Lock()
		p := node.process
		node.mu.Unlock()
		if p == nil {
			continue
		}
		select {
		case <-p.done:
			return fmt.Sprintf("%s has died: %s", node.Name, p.state)
		default:
		}
	}
	return ""
}

// LogTails is the last lines of each node's output, and where the rest is.
func (c *Cluster) LogTails() string {
	const lines = 30
	var b strings.Builder
	fmt.Fprintf(&b, "data and logs are kept in %s\n", c.dir)
	for _, node := range c.Nodes {
		text, err := os.ReadFile(node.logPath)
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		fmt.Fprintf(&b, "--- %s (%s), last of %d lines\n", node.Name, node.Addr, len(all))
		fmt.Fprintln(&b, strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}

// freeAddrs returns different loopback addresses that nobody listened on a moment ago.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

var (
	starterOnce sync.Once
	starterJobs = make(chan func())
)

// startOnLastingThread starts cmd from a thread that lives as long as this process. The kernel
// sends the parent-death signal when the *thread* that forked ends, and the runtime may end any
// other thread.
func startOnLastingThread(cmd *exec.Cmd) error {
	starterOnce.Do(func() {
		go func() {
			runtime.LockOSThread()
			for job := range starterJobs {
				job()
			}
		}()
	})
	result := make(chan error, 1)
	starterJobs <- func() { result <- cmd.Start() }
	return <-result
}
