package kill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/tikv/client-go/v2/rawkv"
	"google.golang.org/grpc"

	"rutile/tests/clients/cluster"
)

const (
	keyPrefix = "kill/"
	writers   = 16
)

// load is many writers of unique keys, through two of TiKV's clients.
type load struct {
	began  time.Time
	finish chan struct{} // Closed: writers end after the operation they are in.
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	acked    []string // Keys, in the order of their acknowledgement.
	ackTimes []time.Time
	slowest  time.Duration // Of all operations, from start to success.
	failures []string
	events   []string
}

func startLoad(t *testing.T, servers *cluster.Cluster) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{began: time.Now(), finish: make(chan struct{}), cancel: cancel}
	clients := []*rawkv.Client{servers.Client(t), servers.Client(t)}
	run := fmt.Sprintf("%s%s/%d", keyPrefix, t.Name(), l.began.UnixNano())
	for w := range writers {
		l.wg.Go(func() { l.write(ctx, clients[w%len(clients)], fmt.Sprintf("%s/%d", run, w)) })
	}
	t.Cleanup(func() { cancel(); l.wg.Wait() })
	return l
}

// write puts one unique key after the other and now and then reads back one of its own. An
// operation that fails is repeated, and its time goes on, until it succeeds.
func (l *load) write(ctx context.Context, client *rawkv.Client, prefix string) {
	var mine []string
	for n := 0; ; n++ {
		select {
		case <-l.finish:
			return
		default:
		}
		key := fmt.Sprintf("%s/%06d", prefix, n)
		ok := l.repeat(ctx, "put "+key, func() error {
			return client.Put(ctx, []byte(key), valueOf(key))
		})
		if !ok {
			return
		}
		l.ack(key)
		mine = append(mine, key)
		if n%10 != 9 {
			continue
		}
		own := mine[rand.IntN(len(mine))]
		ok = l.repeat(ctx, "get "+own, func() error {
			value, err := client.Get(ctx, []byte(own))
			if err == nil && string(value) != string(valueOf(own)) {
				l.fail("%s was acknowledged and reads as %.40q", own, value)
			}
			return err
		})
		if !ok {
			return
		}
	}
}

// repeat runs `operation` until it succeeds and notes how long that took. False: the load was
// cancelled.
func (l *load) repeat(ctx context.Context, name string, operation func() error) bool {
	start := time.Now()
	for {
		err := operation()
		took := time.Since(start)
		if ctx.Err() != nil {
			return false
		}
		l.mu.Lock()
		l.slowest = max(l.slowest, took)
		l.mu.Unlock()
		if err == nil {
			return true
		}
		if took > maxTrouble {
			l.fail("%s after %s: %v", name, took, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *load) ack(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, key)
	l.ackTimes = append(l.ackTimes, time.Now())
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

// note adds a line to the report.
func (l *load) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := fmt.Sprintf("%6.2fs %6d acknowledged: ", time.Since(l.began).Seconds(), len(l.acked))
	l.events = append(l.events, at+fmt.Sprintf(format, args...))
}

// stop lets each writer end its operation and returns what happened. Operations that cannot end
// within the client's own limit are failures.
func (l *load) stop(t *testing.T) *load {
	l.note("stop")
	close(l.finish)
	done := make(chan struct{})
	go func() { l.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		l.cancel()
		<-done
		t.Error("writers did not end within 30 s")
	}
	return l
}

// abort ends all writers at once and returns the keys that were acknowledged.
func (l *load) abort() []string {
	l.cancel()
	l.wg.Wait()
	return l.acked
}

// gapAround is the longest time between two acknowledgements of which the later one came after
// `event` and the earlier one not more than 5 s after it. With none after it: the time to the end.
func (l *load) gapAround(event time.Time) time.Duration {
	var longest time.Duration
	after := l.ackTimes[:len(l.ackTimes):len(l.ackTimes)]
	after = append(after, time.Now())
	previous := event
	for _, at := range after {
		if at.Before(event) {
			continue
		}
		if previous.After(event.Add(5 * time.Second)) {
			break
		}
		longest = max(longest, at.Sub(previous))
		previous = at
	}
	return longest
}

func (l *load) report(t *testing.T, killed []time.Time, p *probe) {
	var text strings.Builder
	fmt.Fprintf(&text, "%d writers, %d writes acknowledged in %.1f s, slowest operation %d ms\n",
		writers, len(l.acked), time.Since(l.began).Seconds(), l.slowest.Milliseconds())
	for _, event := range l.events {
		fmt.Fprintln(&text, event)
	}
	for i, at := range killed {
		fmt.Fprintf(&text, "kill %d: writes resumed after %d ms (limit %d); the server itself took a "+
			"write again after %s\n", i+1, l.gapAround(at).Milliseconds(), maxResume.Milliseconds(),
			p.firstAfter(at))
	}
	t.Log(text.String())
}

// probe writes to each node in turn without a client's back-off, so that the report tells the
// server's part of an interruption from the client's.
type probe struct {
	finish  chan struct{}
	done    chan struct{}
	started []time.Time // When each successful write began.
	ended   []time.Time
}

func startProbe(t *testing.T, servers *cluster.Cluster) *probe {
	route := mustRoute(t)
	p := &probe{finish: make(chan struct{}), done: make(chan struct{})}
	peers := map[string]*kvrpcpb.Context{}
	for _, peer := range route.Region.Peers {
		node, err := servers.NodeOf(t.Context(), peer)
		if err != nil {
			t.Fatal(err)
		}
		peers[node.Addr] = route.Context(peer)
	}
	go func() {
		defer close(p.done)
		for {
			for addr, target := range peers {
				select {
				case <-p.finish:
					return
				case <-time.After(5 * time.Millisecond):
				}
				start := time.Now()
				if putOnce(addr, target) == nil {
					p.started = append(p.started, start)
					p.ended = append(p.ended, time.Now())
				}
			}
		}
	}()
	return p
}

// putOnce dials anew, since a connection that failed waits before it tries again.
func putOnce(addr string, target *kvrpcpb.Context) error {
	conn, err := cluster.Dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	answer, err := tikvpb.NewTikvClient(conn).RawPut(ctx, &kvrpcpb.RawPutRequest{
		Context: target, Key: []byte(keyPrefix + "probe"), Value: []byte("v"),
	}, grpc.WaitForReady(false))
	if err != nil {
		return err
	}
	if answer.RegionError != nil || answer.Error != "" {
		return errors.New(answer.String())
	}
	return nil
}

func (p *probe) stop() {
	close(p.finish)
	<-p.done
}

// firstAfter is the time from `event` to the end of the first successful write begun after it.
func (p *probe) firstAfter(event time.Time) string {
	i, _ := slices.BinarySearchFunc(p.started, event, time.Time.Compare)
	if i == len(p.started) {
		return "no more"
	}
	return fmt.Sprintf("%d ms", p.ended[i].Sub(event).Milliseconds())
}
