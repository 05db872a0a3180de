// with_cluster runs one command against a fresh cluster: `with_cluster BINARY COMMAND [ARG...]`.
// The command finds the placement endpoints, separated by commas, in RUTILE_ENDPOINTS. The exit
// status is the command's, or 1 if the cluster did not start or did not stop cleanly.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"rutile/tests/clients/cluster"
)

// The main thread starts the command, since it lives as long as the process: the kernel would take
// the end of any other thread for the parent's death.
func init() { runtime.LockOSThread() }

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: with_cluster BINARY COMMAND [ARG...]")
		os.Exit(2)
	}
	cluster.Quiet()
	os.Exit(run(os.Args[1], os.Args[2:]))
}

func run(binary string, command []string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	c, err := cluster.Start(ctx, binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, "with_cluster:", err)
		return 1
	}
	defer c.KillAll()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "RUTILE_ENDPOINTS="+strings.Join(c.Endpoints(), ","))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	code := exitCode(cmd.Run())
	if err := c.Stop(code != 0); err != nil {
		fmt.Fprintln(os.Stderr, "with_cluster:", err)
		code = max(code, 1)
	}
	if code != 0 {
		fmt.Fprint(os.Stderr, c.LogTails())
	}
	return code
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	default:
		fmt.Fprintln(os.Stderr, "with_cluster:", err)
		return 1
	}
}
