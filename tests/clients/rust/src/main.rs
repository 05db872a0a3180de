//! Tests the RawKV API and transactions through the Rust client of TiKV, unmodified, against the
//! placement endpoints in RUTILE_ENDPOINTS. That client speaks to placement and stores in its own
//! way: unary calls only, no cluster id in requests to stores, other reactions to errors. With "v2" in
//! RUTILE_API_VERSION its keys are those of the default keyspace.

mod transactions;

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use tikv_client::{ColumnFamily, Config, Key, KvPair, RawClient, TransactionClient, Value};

/// A failed expectation or a failed call, in words.
type Check = Result<(), String>;

fn say(error: tikv_client::Error) -> String {
    format!("the client failed: {error}")
}

fn expect(what: &str, holds: bool) -> Check {
    if holds {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Check {
    expect(&format!("{what}: got {got:?}, want {want:?}"), got == want)
}

fn key(test: &str, name: &str) -> Key {
    format!("rust/{test}/{name}").into_bytes().into()
}

fn pairs(test: &str, names: &[&str]) -> Vec<(Key, Value)> {
    names.iter().map(|n| (key(test, n), format!("value {n}").into_bytes())).collect()
}

/// The names of pairs as a scan returned them, after a check of their values.
fn names(test: &str, found: Vec<KvPair>) -> Result<String, String> {
    let prefix = format!("rust/{test}/");
    let mut all = Vec::new();
    for pair in found {
        let name = String::from_utf8_lossy((&pair.0).into()).replace(&prefix, "");
        expect_eq("value", String::from_utf8_lossy(&pair.1).to_string(), format!("value {name}"))?;
        all.push(name);
    }
    Ok(all.join(" "))
}

async fn put_get_delete(client: RawClient) -> Check {
    let k = key("put", "k");
    expect_eq("before", client.get(k.clone()).await.map_err(say)?, None)?;
    client.put(k.clone(), b"one".to_vec()).await.map_err(say)?;
    expect_eq("after", client.get(k.clone()).await.map_err(say)?, Some(b"one".to_vec()))?;
    client.put(k.clone(), b"two".to_vec()).await.map_err(say)?;
    expect_eq("overwritten", client.get(k.clone()).await.map_err(say)?, Some(b"two".to_vec()))?;
    client.delete(k.clone()).await.map_err(say)?;
    expect_eq("deleted", client.get(k).await.map_err(say)?, None)
}

async fn values_of_a_mebibyte(client: RawClient) -> Check {
    let value: Value = (0..1 << 20).map(|i: u32| (i * 31) as u8).collect();
    client.put(key("large", "k"), value.clone()).await.map_err(say)?;
    let got = client.get(key("large", "k")).await.map_err(say)?;
    expect("the value is not what was put", got == Some(value))
}

async fn batches(client: RawClient) -> Check {
    let count = 1000;
    let all: Vec<String> = (0..count).map(|i| format!("{i:04}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    client.batch_put(pairs("batch", &all)).await.map_err(say)?;
    let asked: Vec<Key> = all.iter().map(|n| key("batch", n)).chain([key("batch", "x")]).collect();
    let got = client.batch_get(asked).await.map_err(say)?;
    let got: HashMap<Key, Value> = got.into_iter().map(|p| (p.0, p.1)).collect();
    expect_eq("pairs", got, pairs("batch", &all).into_iter().collect())?;
    let odd = all.iter().skip(1).step_by(2).map(|n| key("batch", n)).collect::<Vec<_>>();
    client.batch_delete(odd).await.map_err(say)?;
    let left = client.batch_get(all.iter().map(|n| key("batch", n))).await.map_err(say)?;
    expect_eq("pairs after the delete", left.len(), count / 2)
}

/// Limits are never above the number of pairs there are: with fewer pairs than the limit this
/// version of the client begins again at the first key of all, since the region has no end.
async fn scans(client: RawClient) -> Check {
    let t = "scan";
    client.batch_put(pairs(t, &["a", "b", "c", "d", "e"])).await.map_err(say)?;
    let found = client.scan(key(t, "a")..key(t, "z"), 5).await.map_err(say)?;
    expect_eq("all", names(t, found)?, "a b c d e".to_owned())?;
    let found = client.scan(key(t, "b")..key(t, "d"), 2).await.map_err(say)?;
    expect_eq("half open", names(t, found)?, "b c".to_owned())?;
    let found = client.scan(key(t, "b")..=key(t, "d"), 3).await.map_err(say)?;
    expect_eq("closed", names(t, found)?, "b c d".to_owned())?;
    let found = client.scan(key(t, "a")..key(t, "z"), 2).await.map_err(say)?;
    expect_eq("limit", names(t, found)?, "a b".to_owned())?;
    let found = client.scan_reverse(key(t, "a")..key(t, "z"), 3).await.map_err(say)?;
    expect_eq("reverse", names(t, found)?, "e d c".to_owned())?;
    let keys = client.scan_keys(key(t, "a")..key(t, "z"), 2).await.map_err(say)?;
    expect_eq("keys", keys, vec![key(t, "a"), key(t, "b")])?;
    let ranges = [key(t, "a")..key(t, "b"), key(t, "c")..key(t, "z")];
    let found = client.batch_scan(ranges, 2).await.map_err(say)?;
    expect_eq("batch scan", names(t, found)?, "a c d".to_owned())
}

async fn delete_range(client: RawClient) -> Check {
    let t = "delete_range";
    client.batch_put(pairs(t, &["a", "b", "c", "d"])).await.map_err(say)?;
    client.delete_range(key(t, "b")..key(t, "d")).await.map_err(say)?;
    let found = client.scan(key(t, "a")..key(t, "z"), 2).await.map_err(say)?;
    expect_eq("what is left", names(t, found)?, "a d".to_owned())
}

async fn compare_and_swap(client: RawClient) -> Check {
    let atomic = client.with_atomic_for_cas();
    let k = key("cas", "k");
    let swap = |expected: Option<&str>, new: &str| {
        let (atomic, k) = (atomic.clone(), k.clone());
        let expected = expected.map(|e| e.as_bytes().to_vec());
        let new = new.as_bytes().to_vec();
        async move { atomic.compare_and_swap(k, expected, new).await.map_err(say) }
    };
    let one = || Some(b"1".to_vec());
    expect_eq("missing", swap(Some("0"), "1").await?, (None, false))?;
    expect_eq("create", swap(None, "1").await?, (None, true))?;
    expect_eq("create again", swap(None, "2").await?, (one(), false))?;
    expect_eq("wrong value", swap(Some("7"), "2").await?, (one(), false))?;
    expect_eq("right value", swap(Some("1"), "2").await?, (one(), true))?;
    expect_eq("result", atomic.get(k).await.map_err(say)?, Some(b"2".to_vec()))
}

async fn ttl(client: RawClient) -> Check {
    let (forever, timed) = (key("ttl", "forever"), key("ttl", "timed"));
    client.put(forever.clone(), b"v".to_vec()).await.map_err(say)?;
    client.put_with_ttl(timed.clone(), b"v".to_vec(), 900).await.map_err(say)?;
    let left = client.get_key_ttl_secs(forever).await.map_err(say)?;
    expect_eq("for ever", left, Some(0))?;
    let left = client.get_key_ttl_secs(timed).await.map_err(say)?;
    expect(&format!("{left:?} s of 900"), left.is_some_and(|s| (870..=900).contains(&s)))?;
    let left = client.get_key_ttl_secs(key("ttl", "missing")).await.map_err(say)?;
    expect_eq("missing", left, None)
}

async fn column_family(client: RawClient) -> Check {
    let k = key("cf", "k");
    let default = client.with_cf(ColumnFamily::Default);
    default.put(k.clone(), b"v".to_vec()).await.map_err(say)?;
    expect_eq("value", client.get(k).await.map_err(say)?, Some(b"v".to_vec()))
}

async fn bad_input_is_an_error(client: RawClient) -> Check {
    let empty: Key = Vec::new().into();
    // Behind the prefix of its keyspace it is a key like any other.
    let put = client.put(empty, b"v".to_vec()).await;
    expect("an empty key was put", put.is_err() || has_keyspaces())?;
    let long: Key = vec![b'k'; 1 << 20].into();
    expect("a key of 1 MiB was put", client.put(long, b"v".to_vec()).await.is_err())?;
    let plugin = client.coprocessor("x", "*", [key("bad", "a")..key("bad", "b")], |_, _| vec![]);
    match plugin.await {
        Ok(_) => Err("a plug-in that does not exist has run".to_owned()),
        Err(e) if e.to_string().contains("not supported") => Ok(()),
        Err(e) => Err(format!("the refusal does not say why: {e}")),
    }
}

async fn many_at_once(client: RawClient) -> Check {
    let tasks: Vec<_> = (0..64)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let k = key("many", &format!("{i}/{n}"));
                    let v = format!("{i} {n}").into_bytes();
                    client.put(k.clone(), v.clone()).await.map_err(say)?;
                    expect_eq("value", client.get(k).await.map_err(say)?, Some(v))?;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|e| e.to_string())??;
    }
    Ok(())
}

fn has_keyspaces() -> bool {
    std::env::var("RUTILE_API_VERSION").is_ok_and(|version| version == "v2")
}

async fn connect(endpoints: Vec<&str>) -> tikv_client::Result<(RawClient, TransactionClient)> {
    let mut config = Config::default();
    if has_keyspaces() {
        config = config.with_default_keyspace();
    }
    let raw = RawClient::new_with_config(endpoints.clone(), config.clone()).await?;
    Ok((raw, TransactionClient::new_with_config(endpoints, config).await?))
}

/// Runs one test within 60 s and prints its result as `go test` does.
async fn run(name: &str, test: impl Future<Output = Check> + Send + 'static) -> bool {
    let start = Instant::now();
    let result = match tokio::time::timeout(Duration::from_secs(60), tokio::spawn(test)).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(format!("the client panicked: {panic}")),
        Err(_) => Err("it hung".to_owned()),
    };
    let took = start.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("--- PASS: rust/{name} ({took:.2}s)"),
        Err(why) => println!("--- FAIL: rust/{name} ({took:.2}s)\n    {why}"),
    }
    result.is_ok()
}

#[tokio::main]
async fn main() {
    let Ok(endpoints) = std::env::var("RUTILE_ENDPOINTS") else {
        eprintln!("RUTILE_ENDPOINTS names no placement");
        std::process::exit(2);
    };
    let endpoints = endpoints.split(',').collect::<Vec<_>>();
    let (client, transactional) = match connect(endpoints).await {
        Ok(clients) => clients,
        Err(e) => {
            println!("--- FAIL: rust/connect\n    {e}");
            std::process::exit(1);
        }
    };
    let c = || client.clone();
    let t = || transactional.clone();
    let results = [
        run("put_get_delete", put_get_delete(c())).await,
        run("values_of_a_mebibyte", values_of_a_mebibyte(c())).await,
        run("batches", batches(c())).await,
        run("scans", scans(c())).await,
        run("delete_range", delete_range(c())).await,
        run("compare_and_swap", compare_and_swap(c())).await,
        run("ttl", ttl(c())).await,
        run("column_family", column_family(c())).await,
        run("bad_input_is_an_error", bad_input_is_an_error(c())).await,
        run("many_at_once", many_at_once(c())).await,
        run("txn_commit", transactions::commit(t())).await,
        run("txn_conflict", transactions::conflict(t())).await,
        run("txn_rollback", transactions::rollback(t())).await,
        run("txn_insert", transactions::insert(t())).await,
        run("txn_scans", transactions::scans(t())).await,
        run("txn_short_commits", transactions::short_commits(t())).await,
        run("txn_pessimistic", transactions::pessimistic(t())).await,
        run("txn_locks_of_the_dead", transactions::locks_of_the_dead(t())).await,
        run("txn_counters", transactions::counters(t())).await,
    ];
    std::process::exit(i32::from(results.contains(&false)));
}
