#include "store/maintenance.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/file.h"
#include "store/record_format.h"
#include "store/replica.h"
#include "store/rocks_directory.h"

namespace keles {
namespace {

namespace fs = std::filesystem;

// For a sentence of ours.
std::string plain(const Status& s) {
  constexpr std::string_view kPrefix = "Internal error occurred: ";
  std::string_view text = s.message();
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  return std::string(text);
}

const KindDesc* built_in(std::string_view api_version, std::string_view kind) {
  return find_kind(api_version, kind);
}

Result<std::string> expected_identity(const StorePlace& place) {
  if (place.identity_file.empty() || !path_exists(place.identity_file)) return std::string();
  TRY_ASSIGN(text, read_file(place.identity_file, 256));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string check_identity(const StorePlace& place, const std::string& found) {
  auto expected = expected_identity(place);
  if (!expected.ok()) return plain(expected.status());
  if (expected->empty() || found.empty() || *expected == found) return "";
  return "it is another cluster's store: its identity is " + found + ", and " +
         place.identity_file + " beside the certificates says " + *expected;
}

// A store that does not know its name any more is the one that belongs here.
Status adopt_identity(const StorePlace& place, Contents& contents) {
  if (!contents.identity.empty()) return Status();
  TRY_ASSIGN(expected, expected_identity(place));
  contents.identity = expected;
  return Status();
}

Status no_store(const StorePlace& place) {
  return Status(Reason::kNotFound, "there is no store in " + place.directory);
}

Status sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::fsync(fd) != 0) {
    if (fd >= 0) ::close(fd);
    return Status::internal("sync " + path + " failed");
  }
  ::close(fd);
  return Status();
}

Status rename_path(const std::string& from, const std::string& to) {
  std::error_code e;
  fs::rename(from, to, e);
  if (e) return Status::internal("rename " + from + " to " + to + ": " + e.message());
  return sync_directory(fs::path(to).parent_path().string());
}

// A new store in `directory`, which is not there.
Status write_store(const std::string& directory, Contents contents) {
  constexpr size_t kBatch = 1000;
  TRY(make_directories(directory, 0700));
  TRY_ASSIGN(db, open_database(directory));
  TRY(write_marks(*db, contents.identity));
  for (size_t at = 0; at < contents.records.size(); at += kBatch) {
    const size_t end = std::min(at + kBatch, contents.records.size());
    const std::vector<Change> batch(contents.records.begin() + static_cast<ptrdiff_t>(at),
                                    contents.records.begin() + static_cast<ptrdiff_t>(end));
    TRY(write_batch(*db, batch));
  }
  TRY(write_damaged(*db, contents.damaged));
  TRY(write_revision(*db, contents.revision));
  TRY(close_database(db));
  TRY_ASSIGN(acknowledged, Acknowledged::open(directory));
  acknowledged->write(contents.revision);
  return sync_directory(directory);
}

// What a store holds, as far as it can be read.
struct Found {
  Contents contents;
  int64_t acknowledged = 0;
  std::vector<std::string> gaps;  // what could not be read, and is in nothing of the contents
};

void look_at_acknowledged(const std::string& directory, Found& found) {
  auto file = Acknowledged::open(directory);
  auto revision = file.ok() ? (*file)->read() : Result<int64_t>(file.status());
  if (!revision.ok()) {
    found.gaps.push_back("which revision was acknowledged last: " + plain(revision.status()));
    return;
  }
  found.acknowledged = *revision;
  if (found.acknowledged > found.contents.revision) {
    found.gaps.push_back("writes that were acknowledged, of the revisions " +
                         std::to_string(found.contents.revision + 1) + " to " +
                         std::to_string(found.acknowledged) + ": the write-ahead log (" +
                         directory + "/db/*.log) was cut or removed");
  }
}

Result<Found> look(const std::string& directory) {
  TRY_ASSIGN(db, open_database_to_read(directory));
  Found out;
  TRY_ASSIGN(contents, read_what_is_whole(*db, out.gaps));
  out.contents = std::move(contents);
  look_at_acknowledged(directory, out);
  return out;
}

// For a database that does not open: by RocksDB's own repair, on a copy.
Result<Found> look_by_force(const std::string& directory, const Status& why) {
  const std::string copy = directory + ".rebuilt";
  TRY(remove_tree(copy));
  TRY(make_directories(copy, 0700));
  std::error_code e;
  fs::copy(directory + "/db", copy + "/db", fs::copy_options::recursive, e);
  if (e) return Status::internal("copy " + directory + "/db to " + copy + ": " + e.message());
  Status rebuilt = rebuild_database(copy);
  Result<Found> found = rebuilt.ok() ? look(copy) : Result<Found>(rebuilt);
  TRY(remove_tree(copy));
  if (!found.ok()) {
    return Status::internal("nothing can be read of the store in " + directory + " (" + plain(why) +
                            "; " + plain(found.status()) + "): restore a backup");
  }
  found->gaps.clear();  // the copy's own
  found->gaps.push_back("what the damaged files held (" + plain(why) +
                        "); what they said was deleted may be back");
  look_at_acknowledged(directory, *found);
  return found;
}

// The records that are objects, or of a kind that a newer keles may know; the others, by sentence.
std::vector<std::string> take_out_broken(std::vector<Change>& records, StoreReport& report,
                                         Transformer* transformer) {
  std::vector<std::string> broken;
  size_t not_looked_into = 0;
  std::erase_if(records, [&](const Change& r) {
    Bytes stored = r.stored;
    if (stored->starts_with(kSealedPrefix)) {
      if (!transformer) {
        ++not_looked_into;
        return false;
      }
      auto opened = transformer->open(*r.key, stored);
      if (!opened.ok()) {
        broken.push_back(*r.key + ": " + plain(opened.status()));
        return true;
      }
      stored = opened->plain;
    }
    auto name = stored_kind(*stored);
    if (name.ok() && !find_kind(name->api_version, name->kind)) {
      report.remarks.push_back(*r.key + ": of a kind that this keles does not know, " +
                               std::string(name->api_version) + " " + std::string(name->kind));
      return false;
    }
    auto object = read_stored(built_in, stored, r.revision);
    if (object.ok()) {
      ++report.objects;
      report.bytes += stored->size();
      return false;
    }
    broken.push_back(*r.key + ": " + plain(object.status()));
    return true;
  });
  if (not_looked_into > 0) {
    report.remarks.push_back(std::to_string(not_looked_into) +
                             " records are encrypted and were not looked into: give "
                             "--encryption-provider-config");
  }
  return broken;
}

StoreReport report_on(Found& found, std::vector<std::string>& broken,
                      Transformer* transformer = nullptr) {
  StoreReport out;
  out.identity = found.contents.identity;
  out.revision = found.contents.revision;
  out.acknowledged = found.acknowledged;
  for (const std::string& gap : found.gaps) out.problems.push_back("lost: " + gap);
  int64_t newest = 0;
  for (const Change& r : found.contents.records) newest = std::max(newest, r.revision);
  if (newest > found.contents.revision) {
    out.problems.push_back("its revision is " + std::to_string(found.contents.revision) +
                           ", and a record is of revision " + std::to_string(newest));
    found.contents.revision = newest;
  }
  broken = take_out_broken(found.contents.records, out, transformer);
  for (const DamagedRecord& d : found.contents.damaged)
    broken.push_back(d.key + ": " + plain(Status(Reason::kInternalError, d.reason)));
  for (const std::string& b : broken) out.problems.push_back("cannot be read: " + b);
  return out;
}

}  // namespace

StorePlace store_in(const std::string& data_dir) {
  return {data_dir + "/store", data_dir + "/pki/store-identity"};
}

StoreReport check_contents(const Contents& contents, Transformer* transformer) {
  Found found;
  found.contents = contents;
  std::vector<std::string> broken;
  return report_on(found, broken, transformer);
}

Result<StoreReport> check_store(const StorePlace& place, Transformer* transformer) {
  if (!path_exists(place.directory + "/db")) return no_store(place);
  auto lock = DirectoryLock::take(place.directory);
  TRY(lock);
  StoreReport out;
  auto found = look(place.directory);
  if (found.ok()) {
    std::vector<std::string> broken;
    out = report_on(*found, broken, transformer);
  } else {
    out.problems.push_back(plain(found.status()));
  }
  std::string stranger = check_identity(place, out.identity);
  if (!stranger.empty()) out.problems.push_back(stranger);
  return out;
}

Result<Contents> read_store(const StorePlace& place) {
  if (!path_exists(place.directory + "/db")) return no_store(place);
  auto lock = DirectoryLock::take(place.directory);
  TRY(lock);
  auto found = look(place.directory);
  const std::string remedy = ": see " + store_command(place.directory, "check") + ", and " +
                             store_command(place.directory, "repair");
  if (!found.ok()) return Status::internal(plain(found.status()) + remedy);
  if (!found->gaps.empty())
    return Status::internal("the store is not whole; lost: " + found->gaps.front() + remedy);
  return std::move(found->contents);
}

Status restore_store(const StorePlace& place, Contents contents) {
  auto there = list_directory(place.directory);
  if (there.ok() && !std::all_of(there->begin(), there->end(),
                                 [](const std::string& n) { return n == "lock"; })) {
    return Status::bad_request("there is something in " + place.directory +
                               " already, and a restore replaces nothing: stop its server and "
                               "move the directory away");
  }
  std::string stranger = check_identity(place, contents.identity);
  if (!stranger.empty()) {
    return Status::bad_request("the backup does not belong here: " + stranger +
                               ". Bring the pki directory that belongs to the backup, or restore "
                               "into another --data-dir");
  }
  std::unique_ptr<DirectoryLock> lock;
  if (there.ok()) {
    TRY_ASSIGN(taken, DirectoryLock::take(place.directory));
    lock = std::move(taken);
  }
  contents.revision += kRevisionLeap;
  TRY(adopt_identity(place, contents));
  const std::string fresh = place.directory + ".restoring";
  TRY(remove_tree(fresh));
  Status written = write_store(fresh, std::move(contents));
  if (!written.ok()) {
    (void)remove_tree(fresh);
    return written;
  }
  if (there.ok()) TRY(remove_tree(place.directory));
  return rename_path(fresh, place.directory);
}

Result<StoreRepair> repair_store(const StorePlace& place, bool carry_out) {
  if (!path_exists(place.directory + "/db")) {
    return Status(Reason::kNotFound, "there is no store in " + place.directory +
                                         " that could be repaired: restore a backup");
  }
  auto lock = DirectoryLock::take(place.directory);
  TRY(lock);
  auto found = look(place.directory);
  if (!found.ok()) found = look_by_force(place.directory, found.status());
  if (!found.ok()) return found.status();
  StoreRepair out;
  std::vector<std::string> broken;
  out.found = report_on(*found, broken);
  std::string stranger = check_identity(place, found->contents.identity);
  if (!stranger.empty()) {
    return Status::bad_request(stranger +
                               ": no repair makes it this cluster's. Bring the store "
                               "and the pki directory that belong together");
  }
  if (out.found.problems.empty()) return out;
  out.dropped = found->gaps;
  out.dropped.insert(out.dropped.end(), broken.begin(), broken.end());
  if (!carry_out) return out;
  Contents& contents = found->contents;
  contents.damaged.clear();
  contents.revision = std::max(contents.revision, found->acknowledged) + kRevisionLeap;
  TRY(adopt_identity(place, contents));
  const std::string fresh = place.directory + ".repairing";
  TRY(remove_tree(fresh));
  Status written = write_store(fresh, std::move(contents));
  if (!written.ok()) {
    (void)remove_tree(fresh);
    return written;
  }
  for (int i = 1; out.kept_at.empty(); ++i) {
    std::string name = place.directory + ".before-repair-" + std::to_string(i);
    if (!path_exists(name)) out.kept_at = std::move(name);
  }
  TRY(rename_path(place.directory, out.kept_at));
  TRY(rename_path(fresh, place.directory));
  return out;
}

}  // namespace keles
