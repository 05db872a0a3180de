package raw

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestCompareAndSwap(t *testing.T) {
	client := servers.Client(t).SetAtomicForCAS(true)
	k := key(t, "k")
	steps := []struct {
		name             string
		expected, write  []byte
		swapped          bool
		previous, result []byte
	}{
		{"a missing key has no value", []byte("x"), []byte("1"), false, nil, nil},
		{"create", nil, []byte("1"), true, nil, []byte("1")},
		{"create what exists", nil, []byte("2"), false, []byte("1"), []byte("1")},
		{"wrong value", []byte("0"), []byte("2"), false, []byte("1"), []byte("1")},
		{"right value", []byte("1"), []byte("2"), true, []byte("1"), []byte("2")},
		{"same value", []byte("2"), []byte("2"), true, []byte("2"), []byte("2")},
	}
	for _, step := range steps {
		previous, swapped, err := client.CompareAndSwap(t.Context(), k, step.expected, step.write)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if swapped != step.swapped || string(previous) != string(step.previous) ||
			(previous == nil) != (step.previous == nil) {
			t.Fatalf("%s: swapped %v, previous %s", step.name, swapped, brief(previous))
		}
		expectValue(t, client, k, step.result)
	}
	if err := client.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if _, swapped, err := client.CompareAndSwap(t.Context(), k, nil, []byte("3")); err != nil ||
		!swapped {
		t.Fatalf("create after delete: %v, %v", swapped, err)
	}
}

func TestCompareAndSwapNeedsAtomicMode(t *testing.T) {
	client := servers.Client(t)
	if _, _, err := client.CompareAndSwap(t.Context(), key(t, "k"), nil, []byte("v")); err == nil {
		t.Fatal("swapped without atomic mode")
	}
}

// Many clients count one number up; every successful swap must count exactly once.
func TestConcurrentSwapsLoseNothing(t *testing.T) {
	const workers, each = 8, 40
	k := key(t, "counter")
	mustPut(t, servers.Client(t), k, []byte("0"))
	errs := make([]error, workers)
	deadline := time.Now().Add(time.Minute)
	var wg sync.WaitGroup
	for w := range workers {
		client := servers.Client(t).SetAtomicForCAS(true)
		wg.Go(func() {
			for range each {
				for swapped := false; !swapped && errs[w] == nil; {
					value, err := client.Get(t.Context(), k)
					if err != nil {
						errs[w] = err
						return
					}
					n, err := strconv.Atoi(string(value))
					if err != nil {
						errs[w] = fmt.Errorf("the counter is %q", value)
						return
					}
					if time.Now().After(deadline) {
						errs[w] = fmt.Errorf("no end in sight: the counter is at %d", n)
						return
					}
					_, swapped, errs[w] = client.CompareAndSwap(t.Context(), k, value,
						[]byte(strconv.Itoa(n+1)))
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	expectValue(t, servers.Client(t), k, []byte(strconv.Itoa(workers*each)))
}

// What one client has written, every other reads at once: reads are linearizable.
func TestReadsSeeWritesOfOtherClients(t *testing.T) {
	writer, reader := servers.Client(t), servers.Client(t)
	k := key(t, "k")
	for i := range 300 {
		value := fmt.Appendf(nil, "%d", i)
		mustPut(t, writer, k, value)
		expectValue(t, reader, k, value)
	}
}
