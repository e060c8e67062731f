#include "node/volumes/mount_command.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/process.h"
#include "base/text_parts.h"

namespace keles::node {
namespace {

constexpr Duration kMountTime = 2min, kCheckTime = 1h, kFormatTime = 30min;
constexpr const char* kPartitions = "unknown data, probably partitions";

std::string joined(const std::vector<std::string>& list, const char* by) {
  std::string out;
  for (const std::string& one : list) out += (out.empty() ? "" : by) + one;
  return out;
}

// "[\"ro\" \"defaults\"]"
std::string quoted(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& one : list) out += (out.empty() ? "\"" : " \"") + one + "\"";
  return "[" + out + "]";
}

bool is_type_name(const std::string& type) {
  return !type.empty() && std::all_of(type.begin(), type.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

// How a program ended: its output, and "" or why it did not do what it was to do.
struct Ended {
  Ended() = default;
  int code = -1;  // -1: it did not run
  std::string out, why;
};
Task<Ended> run(Context ctx, std::vector<std::string> argv) {
  ProcessOptions options;
  options.argv = std::move(argv);
  auto r = co_await run_process(ctx, std::move(options));
  Ended e;
  if (!r.ok()) {
    e.why = r.status().message();
    co_return e;
  }
  e.code = r->exit_code;
  e.out = r->out + r->err;
  if (e.code != 0) e.why = "exit status " + std::to_string(e.code);
  co_return e;
}

Status failed(std::string why) { return Status(Reason::kInvalid, std::move(why)); }

// A file system that is mounted to be written in is looked at first.
Task<Status> check(Context ctx, std::string device) {
  constexpr int kCorrected = 1, kUncorrected = 4;
  std::vector<std::string> argv = {"fsck", "-a", device};
  Ended e = co_await run(ctx.with_timeout(kCheckTime), std::move(argv));
  if (e.code == kUncorrected) {
    co_return failed("'fsck' found errors on device " + device +
                     " but could not correct them: " + e.out);
  }
  if (e.code == kCorrected) log::info("fsck mended a volume", {{"device", device}});
  if (e.code > kUncorrected || e.code < 0)
    log::warn("fsck did not look at a volume", {{"device", device}, {"why", e.why + " " + e.out}});
  co_return ctx.status();
}

Task<Status> format(Context ctx, DiskMount disk, std::vector<std::string> options) {
  std::vector<std::string> argv = {"mkfs." + disk.type};
  if (disk.type == "ext4" || disk.type == "ext3") {
    argv.emplace_back("-F");
    argv.emplace_back("-m0");
  } else if (disk.type == "xfs") {
    argv.emplace_back("-f");
  }
  argv.push_back(disk.device);
  log::info("Formatting a disk that has nothing on it",
            {{"device", disk.device}, {"type", disk.type}});
  Ended e = co_await run(ctx.with_timeout(kFormatTime), std::move(argv));
  if (e.why.empty()) co_return Status();
  co_return failed("format of disk \"" + disk.device + "\" failed: type:(\"" + disk.type +
                   "\") target:(\"" + disk.at + "\") options:(" + quoted(options) + ") errcode:(" +
                   e.why + ") output:(" + e.out + ") ");
}

}  // namespace

std::vector<std::string> joined_options(std::vector<std::string> options,
                                        const std::vector<std::string>& more) {
  std::set<std::string> all(options.begin(), options.end());
  all.insert(more.begin(), more.end());
  return {all.begin(), all.end()};
}

std::vector<std::string> mount_options_of(const api::core_v1::PersistentVolume& volume) {
  std::vector<std::string> out;
  for (auto [key, value] : volume.metadata().annotations()) {
    if (key != "volume.beta.kubernetes.io/mount-options") continue;
    for (std::string_view one : split_list(value)) out.emplace_back(one);
    return out;
  }
  for (std::string_view o : volume.spec().mount_options()) out.emplace_back(o);
  return out;
}

std::vector<std::string> mount_arguments(const std::string& type,
                                         const std::vector<std::string>& options,
                                         const std::string& source, const std::string& at) {
  std::vector<std::string> out;
  if (!type.empty()) out = {"-t", type};
  if (!options.empty()) {
    out.emplace_back("-o");
    out.push_back(joined(options, ","));
  }
  out.push_back(source);
  out.push_back(at);
  return out;
}

Task<Status> run_mount(Context ctx, std::vector<std::string> arguments) {
  const std::string told = joined(arguments, " ");
  arguments.insert(arguments.begin(), "mount");
  Ended e = co_await run(ctx.with_timeout(kMountTime), std::move(arguments));
  if (e.why.empty()) co_return Status();
  co_return failed("mount failed: " + e.why +
                   "\nMounting command: mount\nMounting arguments: " + told + "\nOutput: " + e.out);
}

Task<Status> bind_mount(Context ctx, std::string source, std::string at,
                        std::vector<std::string> options) {
  std::vector<std::string> bind = {"bind"};
  std::vector<std::string> arguments = mount_arguments("", bind, source, at);
  Status s = co_await run_mount(ctx, std::move(arguments));
  if (!s.ok() || options.empty()) co_return s;
  // A bind takes no options of its own until it is there.
  bind.emplace_back("remount");
  bind.insert(bind.end(), options.begin(), options.end());
  arguments = mount_arguments("", bind, source, at);
  co_return co_await run_mount(ctx, std::move(arguments));
}

Result<std::string> disk_format(const std::string& blkid) {
  std::string type;
  bool partitions = false;
  for (std::string_view line : split_list(blkid, '\n')) {
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    if (equals == line.npos || line.find('=', equals + 1) != line.npos)
      return failed("blkid returns invalid output: " + blkid);
    if (line.substr(0, equals) == "TYPE") type = line.substr(equals + 1);
    partitions = partitions || line.starts_with("PTTYPE=");
  }
  if (partitions) type = kPartitions;
  return type;
}

namespace {

Task<Result<std::string>> format_of(Context ctx, std::string device) {
  constexpr int kNothing = 2;
  std::vector<std::string> look = {"blkid",  "-p", "-s",     "TYPE", "-s",
                                   "PTTYPE", "-o", "export", device};
  Ended e = co_await run(ctx.with_timeout(kMountTime), std::move(look));
  if (e.code == kNothing) co_return std::string();
  if (e.code != 0) co_return failed("failed to get disk format of disk " + device + ": " + e.why);
  auto read = disk_format(e.out);
  if (!read.ok())
    co_return read.status().with_prefix("failed to get disk format of disk " + device);
  co_return read;
}

}  // namespace

Task<Status> grow_file_system(Context ctx, std::string device, std::string at) {
  auto format = co_await format_of(ctx, device);
  if (!format.ok()) {
    co_return format.status().with_prefix("ResizeFS.Resize - error checking format for device " +
                                          device);
  }
  if (format->empty()) co_return Status();
  std::vector<std::string> argv;
  std::string what = at;
  if (*format == "ext3" || *format == "ext4") {
    argv = {"resize2fs", device};
    what = device;
  } else if (*format == "xfs") {
    argv = {"xfs_growfs", "-d", at};
  } else if (*format == "btrfs") {
    argv = {"btrfs", "filesystem", "resize", "max", at};
  } else {
    co_return failed("ResizeFS.Resize - resize of format " + *format +
                     " is not supported for device " + device + " mounted at " + at);
  }
  const std::string program = argv[0];
  Ended e = co_await run(ctx.with_timeout(kFormatTime), std::move(argv));
  if (e.why.empty()) co_return Status();
  co_return failed("resize of device " + what + " failed: " + e.why + ". " + program +
                   " output: " + e.out);
}

Task<Status> format_and_mount(Context ctx, DiskMount disk, bool* mismatch) {
  *mismatch = false;
  if (disk.type.empty()) disk.type = "ext4";
  if (!is_type_name(disk.type))
    co_return failed("fsType: \"" + disk.type + "\" is no name of a file system");
  const bool read_only =
      std::find(disk.options.begin(), disk.options.end(), "ro") != disk.options.end();
  std::vector<std::string> options = disk.options;
  options.emplace_back("defaults");
  auto format_there = co_await format_of(ctx, disk.device);
  if (!format_there.ok()) co_return format_there.status();
  const std::string there = *format_there;
  Status s;
  if (there.empty() && read_only) {
    co_return failed("cannot mount unformatted disk " + disk.device +
                     " as we are manipulating it in read-only mode");
  }
  if (there.empty()) {
    s = co_await format(ctx, disk, options);
  } else if (!read_only) {
    s = co_await check(ctx, disk.device);
  }
  if (!s.ok()) co_return s;
  std::vector<std::string> arguments = mount_arguments(disk.type, options, disk.device, disk.at);
  s = co_await run_mount(ctx, std::move(arguments));
  *mismatch = !s.ok() && !there.empty() && there != disk.type;
  co_return s;
}

}  // namespace keles::node
