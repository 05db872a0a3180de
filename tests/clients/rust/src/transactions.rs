//! Transactions: optimistic and pessimistic, whose locks others meet.

use std::time::{Duration, Instant};

use tikv_client::{
    CheckLevel, Key, Snapshot, Timestamp, TimestampExt, Transaction, TransactionClient,
    TransactionOptions, Value,
};

use crate::{expect, expect_eq, key, pairs, say, Check};

fn value(text: &str) -> Value {
    text.as_bytes().to_vec()
}

fn snapshot(client: &TransactionClient, at: Timestamp) -> Snapshot {
    client.snapshot(at, TransactionOptions::new_optimistic().drop_check(CheckLevel::None))
}

/// A key as everybody sees it now.
async fn read(client: &TransactionClient, k: Key) -> Result<Option<Value>, String> {
    let now = client.current_timestamp().await.map_err(say)?;
    snapshot(client, now).get(k).await.map_err(say)
}

async fn write(client: &TransactionClient, k: Key, text: &str) -> Result<Timestamp, String> {
    let options = TransactionOptions::new_optimistic().drop_check(CheckLevel::None);
    let mut txn = client.begin_with_options(options).await.map_err(say)?;
    txn.put(k, value(text)).await.map_err(say)?;
    let committed = txn.commit().await.map_err(say)?;
    committed.ok_or_else(|| "the commit has no timestamp".to_owned())
}

pub async fn commit(client: TransactionClient) -> Check {
    let (a, b, c) = (key("commit", "a"), key("commit", "b"), key("commit", "c"));
    let before = write(&client, c.clone(), "old").await?;
    let mut txn = client.begin_optimistic().await.map_err(say)?;
    txn.put(a.clone(), value("1")).await.map_err(say)?;
    txn.put(b.clone(), vec![b'x'; 100_000]).await.map_err(say)?;
    txn.delete(c.clone()).await.map_err(say)?;
    expect_eq("its own write", txn.get(a.clone()).await.map_err(say)?, Some(value("1")))?;
    expect_eq("its own delete", txn.get(c.clone()).await.map_err(say)?, None)?;
    expect_eq("nobody else's yet", read(&client, a.clone()).await?, None)?;
    txn.commit().await.map_err(say)?;
    expect_eq("a", read(&client, a.clone()).await?, Some(value("1")))?;
    expect_eq("b", read(&client, b).await?, Some(vec![b'x'; 100_000]))?;
    expect_eq("c", read(&client, c.clone()).await?, None)?;
    let mut past = snapshot(&client, before);
    expect_eq("a of the past", past.get(a).await.map_err(say)?, None)?;
    expect_eq("c of the past", past.get(c).await.map_err(say)?, Some(value("old")))
}

pub async fn conflict(client: TransactionClient) -> Check {
    let k = key("conflict", "k");
    let mut late = client.begin_optimistic().await.map_err(say)?;
    write(&client, k.clone(), "first").await?;
    late.put(k.clone(), value("second")).await.map_err(say)?;
    expect("who came second has committed", late.commit().await.is_err())?;
    late.rollback().await.map_err(say)?;
    expect_eq("value", read(&client, k).await?, Some(value("first")))
}

pub async fn rollback(client: TransactionClient) -> Check {
    let k = key("rollback", "k");
    for mut txn in [
        client.begin_optimistic().await.map_err(say)?,
        client.begin_pessimistic().await.map_err(say)?,
    ] {
        txn.put(k.clone(), value("never")).await.map_err(say)?;
        txn.rollback().await.map_err(say)?;
        expect_eq("value", read(&client, k.clone()).await?, None)?;
    }
    write(&client, k, "free").await.map(|_| ())
}

pub async fn insert(client: TransactionClient) -> Check {
    let k = key("insert", "k");
    for mut txn in [
        client.begin_optimistic().await.map_err(say)?,
        client.begin_pessimistic().await.map_err(say)?,
    ] {
        txn.insert(k.clone(), value("1")).await.map_err(say)?;
        txn.commit().await.map_err(say)?;
        let mut again = client.begin_optimistic().await.map_err(say)?;
        let refused = match again.insert(k.clone(), value("2")).await {
            Ok(()) => again.commit().await.is_err(),
            Err(_) => true,
        };
        expect("what exists was inserted", refused)?;
        again.rollback().await.map_err(say)?;
        let mut txn = client.begin_optimistic().await.map_err(say)?;
        txn.delete(k.clone()).await.map_err(say)?;
        txn.commit().await.map_err(say)?;
    }
    Ok(())
}

/// As for raw keys, limits are never above the number of pairs there are.
pub async fn scans(client: TransactionClient) -> Check {
    let t = "txn_scan";
    let mut txn = client.begin_optimistic().await.map_err(say)?;
    for (k, v) in pairs(t, &["a", "b", "c", "d", "e"]) {
        txn.put(k, v).await.map_err(say)?;
    }
    txn.commit().await.map_err(say)?;
    let mut txn = client.begin_optimistic().await.map_err(say)?;
    txn.delete(key(t, "b")).await.map_err(say)?;
    txn.put(key(t, "bb"), value("value bb")).await.map_err(say)?;
    let up: Vec<_> = txn.scan(key(t, "a")..key(t, "z"), 4).await.map_err(say)?.collect();
    expect_eq("up", crate::names(t, up)?, "a bb c d".to_owned())?;
    let down: Vec<_> = txn.scan_reverse(key(t, "a")..key(t, "z"), 3).await.map_err(say)?.collect();
    expect_eq("down", crate::names(t, down)?, "e d c".to_owned())?;
    let keys: Vec<_> = txn.scan_keys(key(t, "c")..key(t, "z"), 2).await.map_err(say)?.collect();
    expect_eq("keys", keys, vec![key(t, "c"), key(t, "d")])?;
    let batch: Vec<_> =
        txn.batch_get([key(t, "a"), key(t, "b"), key(t, "bb")]).await.map_err(say)?.collect();
    expect_eq("batch", batch.len(), 2)?;
    txn.rollback().await.map_err(say)
}

/// Commits without a second phase. A store that has just begun to lead has two for all. This client
/// takes that for a failure, or does not look, so the store is given a moment.
pub async fn short_commits(client: TransactionClient) -> Check {
    let start = Instant::now();
    for i in 0.. {
        let options = TransactionOptions::new_optimistic().try_one_pc();
        let options = options.drop_check(CheckLevel::None);
        let mut txn = client.begin_with_options(options).await.map_err(say)?;
        txn.put(key("short", &format!("first{i}")), value("1")).await.map_err(say)?;
        match txn.commit().await {
            Ok(_) => break,
            Err(why) => expect(&say(why), start.elapsed() < Duration::from_secs(10))?,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let options = [
        TransactionOptions::new_optimistic().use_async_commit(),
        TransactionOptions::new_optimistic().try_one_pc(),
        TransactionOptions::new_pessimistic().use_async_commit(),
        TransactionOptions::new_pessimistic().try_one_pc(),
    ];
    for (i, options) in options.into_iter().enumerate() {
        let (a, b) = (key("short", &format!("a{i}")), key("short", &format!("b{i}")));
        let mut txn = client.begin_with_options(options).await.map_err(say)?;
        txn.put(a.clone(), value("1")).await.map_err(say)?;
        txn.put(b.clone(), value("2")).await.map_err(say)?;
        let committed = txn.commit().await.map_err(say)?;
        expect(
            &format!("commit {i} has no timestamp"),
            committed.is_some_and(|t| t.version() > 0),
        )?;
        expect_eq("a", read(&client, a).await?, Some(value("1")))?;
        expect_eq("b", read(&client, b).await?, Some(value("2")))?;
    }
    Ok(())
}

/// Locks a key and reads it, in a transaction that may be dropped. This client does not ask again
/// at a later timestamp: after a wait for somebody who has committed it fails, and its user begins
/// anew.
async fn lock_newest(
    client: &TransactionClient,
    k: Key,
) -> Result<(Transaction, Option<Value>), String> {
    let mut failure = String::new();
    for _ in 0..200 {
        let options = TransactionOptions::new_pessimistic().drop_check(CheckLevel::None);
        let mut txn = client.begin_with_options(options).await.map_err(say)?;
        match txn.get_for_update(k.clone()).await {
            Ok(found) => return Ok((txn, found)),
            Err(e) => failure = say(e),
        }
        txn.rollback().await.map_err(say)?;
    }
    Err(format!("a key was never locked: {failure}"))
}

/// A key that somebody has is waited for, and read as he has left it.
pub async fn pessimistic(client: TransactionClient) -> Check {
    let k = key("pessimistic", "k");
    write(&client, k.clone(), "0").await?;
    let mut first = client.begin_pessimistic().await.map_err(say)?;
    let got = first.get_for_update(k.clone()).await.map_err(say)?;
    expect_eq("under the lock", got, Some(value("0")))?;
    expect_eq("readers pass", read(&client, k.clone()).await?, Some(value("0")))?;
    let (other, there) = (client.clone(), k.clone());
    let waits = tokio::spawn(async move {
        let (mut second, got) = lock_newest(&other, there.clone()).await?;
        second.put(there, value("2")).await.map_err(say)?;
        second.commit().await.map_err(say)?;
        Ok::<_, String>(got)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    expect("a locked key was not waited for", !waits.is_finished())?;
    first.put(k.clone(), value("1")).await.map_err(say)?;
    first.commit().await.map_err(say)?;
    let got = waits.await.map_err(|e| e.to_string())??;
    expect_eq("after the wait", got, Some(value("1")))?;
    expect_eq("in the end", read(&client, k).await?, Some(value("2")))
}

/// A transaction whose client is gone does not keep its keys: whoever comes ends it.
pub async fn locks_of_the_dead(client: TransactionClient) -> Check {
    let k = key("dead", "k");
    let options = TransactionOptions::new_pessimistic()
        .heartbeat_option(tikv_client::transaction::HeartbeatOption::NoHeartbeat)
        .drop_check(CheckLevel::None);
    let mut dead: Transaction = client.begin_with_options(options).await.map_err(say)?;
    dead.lock_keys([k.clone()]).await.map_err(say)?;
    drop(dead);
    // It lives for twenty seconds, and this client does not wait for so long by itself.
    let start = Instant::now();
    while let Err(why) = write(&client, k.clone(), "mine").await {
        expect(&why, start.elapsed() < Duration::from_secs(40))?;
    }
    expect("the lock was not waited for", start.elapsed() > Duration::from_secs(15))?;
    expect_eq("value", read(&client, k).await?, Some(value("mine")))
}

/// Who adds one to a counter at the same time as others loses nothing.
pub async fn counters(client: TransactionClient) -> Check {
    let k = key("counters", "k");
    write(&client, k.clone(), "0").await?;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (client, k) = (client.clone(), k.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    let (mut txn, old) = lock_newest(&client, k.clone()).await?;
                    let old =
                        String::from_utf8(old.unwrap_or_default()).map_err(|e| e.to_string())?;
                    let next = old.parse::<u64>().map_err(|e| e.to_string())? + 1;
                    txn.put(k.clone(), value(&next.to_string())).await.map_err(say)?;
                    txn.commit().await.map_err(say)?;
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(|e| e.to_string())??;
    }
    expect_eq("sum", read(&client, k).await?, Some(value("40")))
}
