// Package kill tests what clients see when processes die: every acknowledged write is still there,
// writes go on within two seconds, and no operation is in trouble for more than five.
package kill

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"rutile/tests/clients/cluster"
)

const (
	maxResume  = 2 * time.Second // From a leader's death to the next acknowledged write.
	maxTrouble = 5 * time.Second // From an operation's start to its success, retries included.
)

var servers *cluster.Cluster

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, func(c *cluster.Cluster) { servers = c }))
}

// schedule is how long the load runs before and between the events.
func schedule() (warmUp, down, between time.Duration) {
	if testing.Short() {
		return 2 * time.Second, 2500 * time.Millisecond, 3 * time.Second
	}
	return 4 * time.Second, 5 * time.Second, 6 * time.Second
}

// Kills the leader's process under load, restarts it, kills another, restarts that.
func TestLeaderIsKilledUnderLoad(t *testing.T) {
	warmUp, down, between := schedule()
	load := startLoad(t, servers)
	probe := startProbe(t, servers)
	time.Sleep(warmUp)

	first := mustRoute(t)
	load.note("kill %s: leads the region%s", first.LeaderNode.Name,
		also(first.LeaderNode == first.PlacementLeader, " and placement"))
	killed := []time.Time{servers.Kill(first.LeaderNode)}
	time.Sleep(down)
	restart(t, load, first.LeaderNode)
	time.Sleep(between)

	second := mustRoute(t)
	victim := second.LeaderNode
	if victim == first.LeaderNode {
		victim = other(first.LeaderNode, second.PlacementLeader)
	}
	load.note("kill %s%s%s", victim.Name, also(victim == second.LeaderNode, ", leads the region"),
		also(victim == second.PlacementLeader, ", leads placement"))
	killed = append(killed, servers.Kill(victim))
	time.Sleep(down)
	restart(t, load, victim)
	time.Sleep(between)

	probe.stop()
	result := load.stop(t)
	result.report(t, killed, probe)
	if len(result.acked) < 100 {
		t.Errorf("only %d writes were acknowledged: this is no load", len(result.acked))
	}
	for _, at := range killed {
		if gap := result.gapAround(at); gap > maxResume {
			t.Errorf("no write was acknowledged for %s after a kill; at most %s", gap, maxResume)
		}
	}
	if result.slowest > maxTrouble {
		t.Errorf("an operation took %s; at most %s", result.slowest, maxTrouble)
	}
	for _, failure := range result.failures[:min(10, len(result.failures))] {
		t.Errorf("one of %d failures: %s", len(result.failures), failure)
	}
	readBack(t, result.acked)
}

// Kills all three processes at once under load: what was acknowledged is on disk.
func TestAllAreKilledUnderLoad(t *testing.T) {
	warmUp, _, _ := schedule()
	load := startLoad(t, servers)
	time.Sleep(warmUp / 2)
	load.note("kill all")
	servers.KillAll()
	acked := load.abort()
	for _, node := range servers.Nodes {
		if err := servers.Restart(node); err != nil {
			t.Fatal(err)
		}
	}
	if err := servers.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes were acknowledged before the crash", len(acked))
	if len(acked) < 20 {
		t.Errorf("only %d writes were acknowledged: this is no load", len(acked))
	}
	readBack(t, acked)
}

// readBack checks with a fresh client that each acknowledged write is there, with its value.
func readBack(t *testing.T, acked []string) {
	t.Helper()
	const batch = 500
	client := servers.Client(t)
	lost := 0
	for keys := range slices.Chunk(acked, batch) {
		var raw [][]byte
		for _, key := range keys {
			raw = append(raw, []byte(key))
		}
		values, err := client.BatchGet(t.Context(), raw)
		if err != nil {
			t.Fatalf("read back: %v", err)
		}
		for i, value := range values {
			if !bytes.Equal(value, valueOf(keys[i])) {
				if lost++; lost <= 10 {
					t.Errorf("LOST: %s was acknowledged and is now %.40q", keys[i], value)
				}
			}
		}
	}
	t.Logf("read back %d acknowledged writes, %d lost", len(acked), lost)
}

func mustRoute(t *testing.T) *cluster.Route {
	t.Helper()
	var route *cluster.Route
	cluster.Eventually(t, 5*time.Second, func() (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		route, err = servers.Route(ctx, []byte(keyPrefix))
		return err
	})
	return route
}

func restart(t *testing.T, load *load, node *cluster.Node) {
	t.Helper()
	load.note("restart %s", node.Name)
	if err := servers.Restart(node); err != nil {
		t.Fatal(err)
	}
}

// other is `preferred` if that is not `not`, else some node that is not `not`.
func other(not, preferred *cluster.Node) *cluster.Node {
	if preferred != not {
		return preferred
	}
	for _, node := range servers.Nodes {
		if node != not {
			return node
		}
	}
	return nil
}

func also(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}

// valueOf is the value that belongs to a key: a few hundred bytes that name the key.
func valueOf(key string) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "<%s>", key), 8)
}
