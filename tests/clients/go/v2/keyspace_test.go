package v2

import (
	"strings"
	"testing"

	"github.com/pingcap/kvproto/pkg/keyspacepb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/tikv/client-go/v2/rawkv"
	"github.com/tikv/client-go/v2/txnkv"
	pd "github.com/tikv/pd/client"
	"github.com/tikv/pd/client/pkg/caller"
)

func placement(t *testing.T) pd.Client {
	t.Helper()
	client, err := pd.NewClientWithContext(t.Context(), caller.TestComponent, servers.Endpoints(),
		pd.SecurityOption{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestAKeyspaceThatDoesNotExistIsNotFound(t *testing.T) {
	_, err := rawkv.NewClientWithOpts(t.Context(), servers.Endpoints(),
		rawkv.WithAPIVersion(kvrpcpb.APIVersion_V2), rawkv.WithKeyspace("nobody"))
	if err == nil || !strings.Contains(err.Error(), "ENTRY_NOT_FOUND") {
		t.Errorf("a client of raw keys: %v", err)
	}
	_, err = txnkv.NewClient(servers.Endpoints(),
		txnkv.WithAPIVersion(kvrpcpb.APIVersion_V2), txnkv.WithKeyspace("nobody"))
	if err == nil || !strings.Contains(err.Error(), "ENTRY_NOT_FOUND") {
		t.Errorf("a client of transactions: %v", err)
	}
}

func TestKeyspacesAreMadeAndListed(t *testing.T) {
	name := keyspace(t, "1")
	client := placement(t)
	made, err := client.LoadKeyspace(t.Context(), name)
	if err != nil || made.GetId() == 0 || made.GetName() != name {
		t.Fatalf("got %v, %v", made, err)
	}
	all, err := client.GetAllKeyspaces(t.Context(), 0, 0)
	if err != nil || all[0].GetName() != "DEFAULT" || all[0].GetId() != 0 {
		t.Fatalf("got %v, %v", all, err)
	}
	some, err := client.GetAllKeyspaces(t.Context(), made.GetId(), 1)
	if err != nil || len(some) != 1 || some[0].GetName() != name {
		t.Fatalf("got %v, %v", some, err)
	}
	if list := run(t, "keyspace", "list"); !strings.Contains(list, name+"\tENABLED") {
		t.Errorf("rutile keyspace list: %s", list)
	}
	again, err := servers.Run(t.Context(), "keyspace", "create", name)
	if err == nil || !strings.Contains(again, "already exists") {
		t.Errorf("made twice: %v: %s", err, again)
	}
}

func TestStatesOfKeyspaces(t *testing.T) {
	name := keyspace(t, "1")
	client := placement(t)
	made, err := client.LoadKeyspace(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.UpdateKeyspaceState(t.Context(), made.GetId(), keyspacepb.KeyspaceState_ARCHIVED)
	if err == nil {
		t.Error("a keyspace was archived that is enabled")
	}
	run(t, "keyspace", "set-state", name, "DISABLED")
	changed, err := client.UpdateKeyspaceState(t.Context(), made.GetId(),
		keyspacepb.KeyspaceState_ARCHIVED)
	if err != nil || changed.GetState() != keyspacepb.KeyspaceState_ARCHIVED {
		t.Errorf("got %v, %v", changed, err)
	}
}

func TestTheCommandLineReadsAndWritesAKeyspace(t *testing.T) {
	name := keyspace(t, "1")
	client := servers.Client(t, rawkv.WithKeyspace(name))
	run(t, "put", "--keyspace", name, string(key(t, "b")), "from the shell")
	expectRaw(t, client, "b", "from the shell")
	mustPut(t, client, "a", "from Go")
	got := run(t, "get", "--keyspace", name, string(key(t, "a")))
	if strings.TrimSpace(got) != "from Go" {
		t.Errorf("got %q", got)
	}
	want := string(key(t, "a")) + "\n" + string(key(t, "b")) + "\n"
	if got := run(t, "scan", "--keyspace", name, "--key-only"); got != want {
		t.Errorf("a scan: got %q", got)
	}
	run(t, "delete-range", "--keyspace", name, "A", "z")
	if got := run(t, "scan", "--keyspace", name); got != "" {
		t.Errorf("after all was deleted: %q", got)
	}
	refused, err := servers.Run(t.Context(), "get", "--keyspace", "nobody", "k")
	if err == nil || !strings.Contains(refused, "keyspace does not exist: nobody") {
		t.Errorf("a keyspace that does not exist: %v: %s", err, refused)
	}
}
