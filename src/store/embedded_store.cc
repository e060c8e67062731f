// The embedded store: a replica of a local backend whose log is RocksDB.
#include "base/budget.h"
#include "base/file.h"
#include "store/replica.h"
#include "store/rocks_directory.h"
#include "store/rocks_log.h"
#include "store/sealed_backend.h"
#include "store/sealing.h"
#include "store/store.h"

namespace keles {
namespace {

Status without_store(const EmbeddedOptions& o, const std::string& what) {
  return Status::internal(
      what + " " + o.directory + ", but " + o.identity_file +
      " beside the certificates says that this cluster has one. Restore a "
      "backup with " +
      store_command(o.directory, "restore") + ", or, if its files are still there in part, try " +
      store_command(o.directory, "repair") +
      "; to begin a new cluster with these certificates, remove " + o.identity_file);
}

// A store that is gone beside its cluster's certificates must not begin anew in silence.
Result<std::string> expected_identity(const EmbeddedOptions& o) {
  if (o.identity_file.empty() || !path_exists(o.identity_file)) return std::string();
  TRY_ASSIGN(text, read_file(o.identity_file, 256));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (!has_database(o.directory)) return without_store(o, "there is no store in");
  return text;
}

}  // namespace

bool is_stale(const Store& store, std::string_view key) {
  auto* sealing = dynamic_cast<const Sealing*>(&store);
  return sealing && sealing->stale(key);
}

Sealer sealer_of(const Store& store) {
  auto* sealing = dynamic_cast<const Sealing*>(&store);
  return sealing ? sealing->sealer() : Sealer();
}

Result<std::unique_ptr<Store>> open_embedded_store(const EmbeddedOptions& options) {
  return open_sealed_store(options, nullptr);
}

Result<std::unique_ptr<Store>> open_sealed_store(const EmbeddedOptions& options,
                                                 std::shared_ptr<Transformer> transformer) {
  TRY_ASSIGN(expected, expected_identity(options));
  TRY_ASSIGN(opened, open_rocks_log(options.directory));
  // A store from before identities were written takes the name that it gets now.
  if (!expected.empty() && !opened.contents.identity.empty() &&
      opened.contents.identity != expected)
    return without_store(options, "another cluster's store is in");
  if (!options.identity_file.empty() && expected.empty() && !opened.contents.identity.empty())
    TRY(write_file(options.identity_file, opened.contents.identity + "\n", 0600, true));
  ReplicaOptions o;
  o.window.events = options.event_window;
  o.window.bytes = options.event_window_bytes;
  o.window.budget = &process_budget();
  std::unique_ptr<Backend> backend =
      std::make_unique<LocalBackend>(LocalBackend::Limits(), std::move(opened.log),
                                     std::move(opened.contents), std::move(opened.read_only));
  if (transformer) {
    backend = std::make_unique<SealedBackend>(std::move(backend), std::move(transformer));
  }
  return std::unique_ptr<Store>(std::make_unique<Replica>(std::move(o), std::move(backend)));
}

}  // namespace keles
