import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.tikv.common.BytePairWrapper;
import org.tikv.common.ByteWrapper;
import org.tikv.common.TiConfiguration;
import org.tikv.common.TiSession;
import org.tikv.common.util.BackOffer;
import org.tikv.common.util.ConcreteBackOffer;
import org.tikv.kvproto.Kvrpcpb;
import org.tikv.raw.RawKVClient;
import org.tikv.shade.com.google.protobuf.ByteString;
import org.tikv.txn.KVClient;
import org.tikv.txn.TwoPhaseCommitter;

/**
 * Tests raw keys and transactions through TiKV's Java client, unmodified, against the placement
 * endpoints in RUTILE_ENDPOINTS. Prints results as `go test` does.
 */
public final class ClientTest {
  private static final int BACK_OFF_MS = 20_000;
  private static TiSession session;

  private interface Check {
    void run() throws Exception;
  }

  public static void main(String[] args) throws Exception {
    String endpoints = System.getenv("RUTILE_ENDPOINTS");
    if (endpoints == null) {
      System.err.println("RUTILE_ENDPOINTS names no placement");
      System.exit(2);
    }
    boolean ok = run("connect", () -> session = TiSession.create(
        TiConfiguration.createDefault(endpoints)));
    ok = ok
        && run("raw_put_get_scan_delete", ClientTest::rawKeys)
            & run("txn_commit_and_read", ClientTest::commitAndRead)
            & run("txn_scan", ClientTest::scan)
            & run("txn_conflict", ClientTest::conflict)
            & run("txn_reader_ends_a_lock", ClientTest::readerEndsALock);
    System.exit(ok ? 0 : 1);
  }

  private static boolean run(String name, Check check) {
    ExecutorService thread = Executors.newSingleThreadExecutor();
    long start = System.nanoTime();
    String why = null;
    Future<Object> result = thread.submit((Callable<Object>) () -> {
      check.run();
      return null;
    });
    try {
      result.get(60, TimeUnit.SECONDS);
    } catch (TimeoutException e) {
      why = "it hung";
    } catch (Exception e) {
      StringBuilder causes = new StringBuilder();
      for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
        causes.append(causes.length() == 0 ? "" : ", since ").append(cause);
      }
      why = causes.toString();
    }
    thread.shutdownNow();
    System.out.printf("--- %s: java/%s (%.2fs)%n", why == null ? "PASS" : "FAIL", name,
        (System.nanoTime() - start) / 1e9);
    if (why != null) System.out.println("    " + why);
    return why == null;
  }

  private static void expect(String what, Object got, Object want) {
    if (!want.equals(got)) {
      throw new IllegalStateException(what + ": got " + got + ", want " + want);
    }
  }

  private static ByteString bytes(String text) {
    return ByteString.copyFromUtf8(text);
  }

  private static byte[] raw(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static BackOffer patience() {
    return ConcreteBackOffer.newCustomBackOff(BACK_OFF_MS);
  }

  private static long now() {
    return session.getTimestamp().getVersion();
  }

  /** Prewrites and commits, the first key is the primary. Returns the timestamp of the commit. */
  private static long commit(Map<String, String> writes, long start) throws Exception {
    List<String> keys = new ArrayList<>(writes.keySet());
    byte[] primary = raw(keys.get(0));
    List<BytePairWrapper> pairs = new ArrayList<>();
    List<ByteWrapper> others = new ArrayList<>();
    for (String key : keys.subList(1, keys.size())) {
      pairs.add(new BytePairWrapper(raw(key), raw(writes.get(key))));
      others.add(new ByteWrapper(raw(key)));
    }
    try (TwoPhaseCommitter committer = new TwoPhaseCommitter(session, start)) {
      committer.prewritePrimaryKey(patience(), primary, raw(writes.get(keys.get(0))));
      if (!pairs.isEmpty()) {
        committer.prewriteSecondaryKeys(primary, pairs.iterator(), BACK_OFF_MS);
      }
      long commit = now();
      committer.commitPrimaryKey(patience(), primary, commit);
      if (!others.isEmpty()) {
        committer.commitSecondaryKeys(others.iterator(), commit, BACK_OFF_MS);
      }
      return commit;
    }
  }

  private static Map<String, String> numbered(String prefix, int count) {
    Map<String, String> writes = new TreeMap<>();
    for (int i = 0; i < count; ++i) {
      String key = String.format("%s/%04d", prefix, i);
      writes.put(key, "value of " + key);
    }
    return writes;
  }

  private static Map<String, String> map(List<Kvrpcpb.KvPair> pairs) {
    Map<String, String> found = new TreeMap<>();
    for (Kvrpcpb.KvPair pair : pairs) {
      found.put(pair.getKey().toStringUtf8(), pair.getValue().toStringUtf8());
    }
    return found;
  }

  private static void rawKeys() throws Exception {
    try (RawKVClient client = session.createRawClient()) {
      ByteString key = bytes("java/raw/k");
      expect("before", client.get(key), Optional.empty());
      client.put(key, bytes("1"));
      client.put(bytes("java/raw/l"), bytes("2"));
      expect("after", client.get(key), Optional.of(bytes("1")));
      expect("scan", map(client.scan(bytes("java/raw/"), bytes("java/raw0"))),
          Map.of("java/raw/k", "1", "java/raw/l", "2"));
      client.delete(key);
      expect("deleted", client.get(key), Optional.empty());
    }
  }

  private static void commitAndRead() throws Exception {
    try (KVClient client = session.createKVClient()) {
      Map<String, String> writes = numbered("java/commit", 500);
      long start = now();
      long commit = commit(writes, start);
      List<ByteString> keys = new ArrayList<>();
      for (Map.Entry<String, String> write : writes.entrySet()) keys.add(bytes(write.getKey()));
      keys.add(bytes("java/commit/none"));
      expect("batch", map(client.batchGet(patience(), keys, commit)), writes);
      expect("one", client.get(bytes("java/commit/0007"), commit).toStringUtf8(),
          "value of java/commit/0007");
      expect("before", client.get(bytes("java/commit/0007"), start), ByteString.EMPTY);
      commit(Map.of("java/commit/0007", "next"), now());
      expect("next", client.get(bytes("java/commit/0007"), now()).toStringUtf8(), "next");
      expect("then", client.get(bytes("java/commit/0007"), commit).toStringUtf8(),
          "value of java/commit/0007");
    }
  }

  private static void scan() throws Exception {
    try (KVClient client = session.createKVClient()) {
      Map<String, String> writes = numbered("java/scan", 1000);
      commit(writes, now());
      expect("all", map(client.scan(bytes("java/scan/"), bytes("java/scan0"), now())), writes);
      Map<String, String> part =
          map(client.scan(bytes("java/scan/0100"), bytes("java/scan/0110"), now()));
      expect("so many", part.size(), 10);
      expect("from the border on", part.containsKey("java/scan/0100"), true);
    }
  }

  private static void conflict() throws Exception {
    long late = now();
    commit(Map.of("java/conflict", "first"), now());
    boolean failed = false;
    try {
      commit(Map.of("java/conflict", "second"), late);
    } catch (Exception e) {
      failed = true;
    }
    expect("who came second fails", failed, true);
    try (KVClient client = session.createKVClient()) {
      expect("value", client.get(bytes("java/conflict"), now()).toStringUtf8(), "first");
    }
  }

  /** A client that dies after its prewrite: who reads the key waits, and then goes on. */
  private static void readerEndsALock() throws Exception {
    byte[] key = raw("java/dead");
    commit(Map.of("java/dead", "old"), now());
    try (TwoPhaseCommitter dies = new TwoPhaseCommitter(session, now(), 1000)) {
      dies.prewritePrimaryKey(patience(), key, raw("never"));
    }
    try (KVClient client = session.createKVClient()) {
      expect("value", client.get(bytes("java/dead"), now()).toStringUtf8(), "old");
    }
  }
}
