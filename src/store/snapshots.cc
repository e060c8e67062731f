#include "store/snapshots.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/beneath.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/cron.h"
#include "machinery/time_zone.h"
#include "net/pki.h"
#include "store/backup.h"
#include "store/sealing.h"

namespace keles {
namespace {

constexpr int64_t kMostKept = 10'000;
constexpr Duration kLook = 10min;  // the wall clock may be set while one waits by the other
constexpr std::string_view kPartial = ".partial";

std::string prefix_of(const std::string& node) {
  std::string out = "snapshot-" + node + "-";
  std::replace(out.begin(), out.end(), '/', '_');
  return out;
}

// When the schedule of the node took the one of this name, in seconds; none: it did not.
std::optional<int64_t> taken_at(std::string_view name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  if (name.empty() || name.size() > 12 ||
      name.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  int64_t out = 0;
  for (const char c : name) out = out * 10 + (c - '0');
  return out;
}

metrics::Counter& counted() {
  static metrics::Counter& one = metrics::counter(
      "keles_snapshots_total", "Snapshots of the store that its schedule took.", {"result"});
  return one;
}

metrics::Gauge& newest() {
  static metrics::Gauge& one = metrics::gauge(
      "keles_snapshot_last_success_timestamp_seconds",
      "When the store's schedule last took a snapshot, in seconds since 1970; 0: not yet.");
  return one;
}

Status remove_old(const SnapshotSchedule& s) {
  TRY_ASSIGN(names, list_directory(s.directory));
  for (const std::string& name : plan_snapshot_removal(names, s)) {
    TRY(remove_file(s.directory + "/" + name));
    log::info("A snapshot is no longer kept", {{"name", name}});
  }
  return {};
}

Task<Status> save_store(Context ctx, const Store* store, std::string path) {
  auto write = [store, path] {
    return write_backup_file(path, store->contents(), sealer_of(*store));
  };
  co_return co_await run_blocking(&ctx.loop(), std::move(write));
}

Task<void> take_one(Context ctx, SnapshotSchedule s, SaveSnapshot save) {
  const WallTime now = ctx.loop().wall_now();
  const std::string path = s.directory + "/" + snapshot_name(s.node, now);
  Status done = make_directories(s.directory, 0700);
  if (done.ok()) done = co_await save(ctx, path);
  counted().with({done.ok() ? "success" : "error"}).add();
  if (!done.ok()) {
    log::error("A snapshot of the store could not be taken", {{"path", path}, {"error", done}});
    co_return;  // and none of those that are there goes
  }
  newest().set(static_cast<double>(now.unix_seconds()));
  log::info("A snapshot of the store is taken", {{"path", path}});
  const Status removed = remove_old(s);
  if (!removed.ok()) log::error("Snapshots beyond the retention stay", {{"error", removed}});
}

// Of a file that is opened, piece by piece, until `take` is content with less than all.
Status read_pieces(const std::string& path, size_t piece_size,
                   const std::function<Result<bool>(std::string_view)>& take) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.open())
    return Status(errno == ENOENT ? Reason::kNotFound : Reason::kInternalError,
                  path + ": " + strerror(errno));
  std::string piece(piece_size, '\0');
  for (;;) {
    const ssize_t n = ::read(fd.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::internal(path + ": " + strerror(errno));
    if (n == 0) return {};
    TRY_ASSIGN(more, take(std::string_view(piece).substr(0, static_cast<size_t>(n))));
    if (!more) return {};
  }
}

}  // namespace

Status check_snapshot_schedule(const SnapshotSchedule& s) {
  if (s.retention < 0 || s.retention > kMostKept)
    return Status::bad_request("--snapshot-retention: want 0 to " + std::to_string(kMostKept));
  if (s.cron.empty()) return {};
  auto cron = CronSchedule::parse(s.cron);
  if (!cron.ok()) return cron.status().with_prefix("--snapshot-schedule-cron");
  if (!find_time_zone(cron->zone()))
    return Status::bad_request("--snapshot-schedule-cron: unknown time zone " + cron->zone());
  return {};
}

std::string snapshot_name(const std::string& node, WallTime t) {
  return prefix_of(node) + std::to_string(t.unix_seconds());
}

std::vector<std::string> plan_snapshot_removal(const std::vector<std::string>& names,
                                               const SnapshotSchedule& s) {
  const std::string prefix = prefix_of(s.node);
  std::vector<std::pair<int64_t, std::string>> ours;
  std::vector<std::string> out;
  for (const std::string& name : names) {
    std::string_view whole = name;
    const bool partial = whole.ends_with(kPartial);
    if (partial) whole.remove_suffix(kPartial.size());
    const auto at = taken_at(whole, prefix);
    if (!at) continue;
    if (partial) {
      out.push_back(name);
    } else {
      ours.emplace_back(*at, name);
    }
  }
  std::sort(ours.begin(), ours.end());
  const size_t kept = s.retention == 0 ? ours.size() : static_cast<size_t>(s.retention);
  for (size_t i = 0; i + kept < ours.size(); ++i) out.push_back(ours[i].second);
  return out;
}

SaveSnapshot snapshots_of(const Store& store) {
  return [&store](Context ctx, std::string path) {
    return save_store(std::move(ctx), &store, std::move(path));
  };
}

Task<void> keep_snapshots(Context ctx, SnapshotSchedule schedule, SaveSnapshot save) {
  const auto cron = CronSchedule::parse(schedule.cron);
  if (!cron.ok()) co_return;
  const auto zone = find_time_zone(cron->zone());
  if (!zone) co_return;
  counted().with({"error"}).add(0);  // told from the start: alerts look at its rise
  WallTime from = ctx.loop().wall_now();
  for (;;) {
    const WallTime now = ctx.loop().wall_now();
    from = std::min(from, now);  // the clock was set back
    const auto due = cron->next(from, *zone);
    if (!due) {
      log::error("The schedule of snapshots names no moment", {{"cron", schedule.cron}});
      co_return;
    }
    if (*due <= now) {
      from = now;
      co_await take_one(ctx, schedule, save);
      continue;
    }
    const Duration left = std::min<Duration>(*due - now, kLook);
    const Status slept = co_await ctx.sleep(left);
    if (!slept.ok()) co_return;
  }
}

Result<SnapshotStatus> snapshot_status(const std::string& path) {
  BackupReader reader(false);
  SnapshotStatus out;
  auto take = [&](std::string_view piece) -> Result<bool> {
    out.bytes += piece.size();
    TRY(reader.take(piece).with_prefix(path));
    return true;
  };
  TRY(read_pieces(path, 1u << 20, take));
  TRY(reader.finish().with_prefix(path));
  out.hash = net::hex(reader.digest());
  out.revision = reader.revision();
  out.keys = reader.records();
  out.damaged = reader.damaged();
  return out;
}

Result<std::vector<SnapshotFile>> list_snapshots(const std::string& directory) {
  TRY_ASSIGN(names, list_directory(directory));
  std::vector<SnapshotFile> out;
  for (const std::string& name : names) {
    const std::string path = directory + "/" + name;
    struct stat s {};
    if (name.ends_with(kPartial) || ::stat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode)) continue;
    BackupReader reader(false);
    auto take = [&](std::string_view piece) -> Result<bool> {
      TRY(reader.take(piece));
      return !reader.begun();
    };
    if (!read_pieces(path, 4096, take).ok() || !reader.begun()) continue;
    SnapshotFile file;
    file.name = name;
    file.revision = reader.revision();
    file.bytes = static_cast<uint64_t>(s.st_size);
    file.written = WallTime{int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec};
    out.push_back(std::move(file));
  }
  std::stable_sort(out.begin(), out.end(), [](const SnapshotFile& a, const SnapshotFile& b) {
    return a.written < b.written;
  });
  return out;
}

}  // namespace keles
