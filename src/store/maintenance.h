// Looking after an embedded store while no server has it open: check, backup, restore, repair
// (`keles store`). Each takes the store's lock, so that none of it happens under a running server.
// Blocking.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "store/backend.h"
#include "store/transformer.h"

namespace keles {

struct StorePlace {
  std::string directory;
  std::string identity_file;  // EmbeddedOptions::identity_file
};
// Where a server with this --data-dir has its store.
StorePlace store_in(const std::string& data_dir);

struct StoreReport {
  std::string identity;
  int64_t revision = 0, acknowledged = 0;
  size_t objects = 0, bytes = 0;      // that can be read
  std::vector<std::string> problems;  // a sentence each
  std::vector<std::string> remarks;   // no problems, but worth knowing
};

// Reads everything, down to each object's last field, and changes nothing. An error is one that
// kept it from looking; what is wrong with the store is in the report.
// Without a transformer nobody looks into what is encrypted, which is a remark and no problem.
Result<StoreReport> check_store(const StorePlace& place, Transformer* transformer = nullptr);
// The same of a backup's contents.
StoreReport check_contents(const Contents& contents, Transformer* transformer = nullptr);

// Everything as it is stored, for a backup; refuses a store of which something is lost.
Result<Contents> read_store(const StorePlace& place);

// A store of these contents where there is none. Its revision leaps ahead by kRevisionLeap: whoever
// knows revisions that came after the backup is told that they are too old, and lists anew.
inline constexpr int64_t kRevisionLeap = 1'000'000'000;
Status restore_store(const StorePlace& place, Contents contents);

struct StoreRepair {
  StoreReport found;                 // its problems are what is mended
  std::vector<std::string> dropped;  // what will be missing: a sentence each
  std::string kept_at;  // where the store as it was has been put; "" when not carried out
};
// Writes what can be read into a new store beside the old one and, when `carry_out`, puts it into
// its place; the old one stays, under another name. What is encrypted is not looked into and kept.
// Without problems nothing is done. Revisions leap ahead, as at a restore.
Result<StoreRepair> repair_store(const StorePlace& place, bool carry_out);

}  // namespace keles
