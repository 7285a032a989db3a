//! The engine over a real `FileSystemSyncAccessHandle`, in a dedicated worker of a real browser.
#![cfg(target_arch = "wasm32")]

use blockyard_core::{BlockDevice as _, Durability};
use blockyard_wasm::{Device, Engine, Handle, Settings};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetFileOptions, FileSystemSyncAccessHandle,
    WorkerGlobalScope,
};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const ALL: (u64, u64) = (0, u64::MAX);

/// A file of the origin's private file system, open for this worker alone.
async fn handle(name: &str, fresh: bool) -> FileSystemSyncAccessHandle {
    let scope: WorkerGlobalScope = js_sys::global().unchecked_into();
    let storage = scope.navigator().storage();
    let root: FileSystemDirectoryHandle =
        JsFuture::from(storage.get_directory()).await.expect("there is a file system").unchecked_into();
    if fresh {
        // It may not be there.
        let _ = JsFuture::from(root.remove_entry(name)).await;
    }
    let options = FileSystemGetFileOptions::new();
    options.set_create(true);
    let file: FileSystemFileHandle = JsFuture::from(root.get_file_handle_with_options(name, &options))
        .await
        .expect("it can be created")
        .unchecked_into();
    JsFuture::from(file.create_sync_access_handle()).await.expect("nobody else has it").unchecked_into()
}

fn device(handle: &FileSystemSyncAccessHandle) -> Device {
    Device::over(handle.clone().unchecked_into::<Handle>()).expect("it is open")
}

fn settings() -> Settings {
    Settings { file_id: [3; 16], journal_length: 256 << 10, growth: 1 << 20, ..Settings::default() }
}

fn put(engine: &mut Engine, name: &str, value: &[u8], durability: Durability) {
    let batch = engine.begin();
    engine.put(batch, name.as_bytes(), value, 0).expect("it fits");
    engine.commit(&[batch], durability).expect("there is room");
}

#[wasm_bindgen_test]
async fn the_device_does_what_the_engine_expects() {
    let handle = handle("device", true).await;
    let mut device = device(&handle);
    assert_eq!(device.length(), Ok(0));
    device.grow(8192).expect("there is room");
    assert_eq!(device.length(), Ok(8192));
    device.grow(4096).expect("nothing to do");
    assert_eq!(device.length(), Ok(8192));
    device.write(4096, &[7; 512]).expect("it is inside");
    let mut found = [1; 1024];
    device.read(4096 - 512, &mut found).expect("it is inside");
    assert!(found[..512].iter().all(|&byte| byte == 0) && found[512..].iter().all(|&byte| byte == 7));
    assert!(device.read(8000, &mut found).is_err(), "a read past the end is an error");
    device.sync().expect("it is open");
    handle.close();
    let fault = device.write(0, &[0; 512]).expect_err("the handle is closed");
    assert_eq!(fault.name, "InvalidStateError");
}

#[wasm_bindgen_test]
async fn what_was_durable_is_there_after_a_reopen_without_a_close() {
    let values: Vec<Vec<u8>> =
        (0..40_usize).map(|index| vec![index as u8; index * index * 40 + index]).collect();
    let first = handle("reopen", true).await;
    let mut engine = Engine::open(device(&first), &settings()).expect("it is new");
    for (index, value) in values.iter().enumerate() {
        put(&mut engine, &format!("block {index}"), value, Durability::Durable);
    }
    // As a page that goes away: nothing is settled.
    drop(engine);
    first.close();
    let second = handle("reopen", false).await;
    let mut engine = Engine::open(device(&second), &settings()).expect("it recovers");
    for (index, value) in values.iter().enumerate() {
        let found = engine.get(0, format!("block {index}").as_bytes(), ALL).expect("nothing is damaged");
        assert_eq!(found.as_ref(), Some(value), "block {index}");
    }
    second.close();
}

/// Small writes to pages wait for each other; reads see them, and what is in the handle after a sync is the same.
#[wasm_bindgen_test]
async fn writes_that_wait_are_seen_by_reads_and_by_whoever_opens_the_file() {
    const PAGES: u64 = 8192;
    let length = 256 << 10;
    let handle = handle("behind", true).await;
    let mut waiting = device(&handle);
    waiting.grow(length as u64).expect("there is room");
    waiting.gather_from(PAGES);
    let mut model = vec![0; length];
    let mut state = 1_u32;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % limit
    };
    let mut next = 0;
    for turn in 1..2000_usize {
        let size = [512, 4096, 4096, 40_000][below(4)];
        // Mostly one behind the other, as a checkpoint writes.
        let offset =
            if below(8) == 0 || next + size > length { below(length - size) / 512 * 512 } else { next };
        next = offset + size;
        let bytes = vec![turn as u8; size];
        waiting.write(offset as u64, &bytes).expect("it is inside");
        model[offset..next].copy_from_slice(&bytes);
        let from = below(length - 5000);
        let mut found = vec![0; 5000];
        waiting.read(from as u64, &mut found).expect("it is inside");
        assert!(found == model[from..from + 5000], "turn {turn}");
        let mut direct = device(&handle);
        let mut front = vec![0; PAGES as usize];
        direct.read(0, &mut front).expect("it is inside");
        assert!(front == model[..PAGES as usize], "what lies before the pages does not wait");
        if below(50) == 0 {
            waiting.sync().expect("it is open");
            let mut all = vec![0; length];
            direct.read(0, &mut all).expect("it is inside");
            assert!(all == model, "turn {turn}: after a sync nothing waits");
        }
    }
    handle.close();
    // What waits and cannot be written is told by the next write or sync.
    assert!(
        waiting.write(PAGES, &[1; 512]).is_ok_and(|()| waiting.sync().is_err()) || waiting.sync().is_err()
    );
}

#[wasm_bindgen_test]
async fn a_snapshot_over_a_handle_stays() {
    let handle = handle("snapshot", true).await;
    let mut engine = Engine::open(device(&handle), &settings()).expect("it is new");
    put(&mut engine, "name", &[1; 5000], Durability::Buffered);
    engine.checkpoint().expect("it folds");
    let snapshot = engine.snapshot();
    for turn in 0..50 {
        put(&mut engine, "name", &[turn; 6000], Durability::Buffered);
        engine.checkpoint().expect("it folds");
    }
    assert_eq!(engine.get(snapshot, b"name", ALL), Ok(Some(vec![1; 5000])));
    assert_eq!(engine.get(0, b"name", ALL), Ok(Some(vec![49; 6000])));
    handle.close();
}
