// `keles snapshot`: the state of a control plane's store as a file, under the names that users of
// etcdctl and k3s know; and those that a server takes by its schedule.
#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "base/flags.h"
#include "keles/commands.h"
#include "keles/runtime.h"
#include "keles/snapshot_flags.h"
#include "keles/store_backup.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "store/snapshots.h"

namespace keles {
namespace {

constexpr char kDataDir[] = "/var/lib/keles";

constexpr char kHelp[] =
    "Snapshots of a control plane's store: its whole state at one revision in one file, which\n"
    "holds every Secret. `keles store backup` makes the same files. Certificates and keys\n"
    "(DATA_DIR/pki) are not in it: keep those, too.\n\nUsage:\n"
    "  keles snapshot save|status|restore|list [flags]\n\n"
    "  save FILE                    of the running server, or with --data-dir of a stopped one\n"
    "  status FILE                  reads all of it: revision, keys, size, hash\n"
    "  restore FILE --data-dir DIR  makes the store where there is none; the server is stopped\n"
    "  list                         those in the directory of a server's schedule "
    "(--snapshot-schedule-cron)\n\n"
    "A server whose store is in etcd (--etcd-servers) has snapshots saved and scheduled likewise;\n"
    "they are restored into a store of its own, which `keles store migrate` brings to an etcd. "
    "Whoever\nruns the etcd saves it with `etcdctl snapshot save`.\n\n"
    "Use \"keles snapshot COMMAND --help\" for more.\n";

Result<std::string> the_file(const std::vector<std::string>& rest) {
  if (rest.size() == 1) return rest.front();
  return Status::bad_request(rest.empty() ? "which file: want its name"
                                          : "want one file, not " + std::to_string(rest.size()));
}

Status check_output(const std::string& output) {
  if (output.empty() || output == "table" || output == "json") return {};
  return Status::bad_request("--output: \"" + output + "\": want table or json");
}

void add_output_flag(Flags& f, std::string& output) {
  f.add("output", &output, "table or json.", 'o');
}

int save(const std::vector<std::string>& args) {
  BackupSource from;
  Flags flags(
      "Saves the store's state into a new file (0600), while its server runs and as its "
      "administrator; no writer waits.\n\nUsage:\n  keles snapshot save FILE [flags]");
  flags.add("kubeconfig", &from.kubeconfig, "How to reach the running server, as kubectl has it.");
  flags.add("context", &from.context, "The kubeconfig's context to use.");
  flags.add("data-dir", &from.data_dir, "Of a stopped server: its --data-dir.");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY_ASSIGN(file, the_file(rest));
    return back_up(from, file);
  });
}

int restore(const std::vector<std::string>& args) {
  std::string data_dir;
  Flags flags(
      "Makes the store of a stopped server anew, of a snapshot, where there is none: move an old "
      "DIR/store away first. What changed since is undone; revisions leap ahead, so that whoever "
      "watched lists anew.\n\nUsage:\n  keles snapshot restore FILE --data-dir DIR");
  flags.add("data-dir", &data_dir, "The server's --data-dir.");
  flags.require("data-dir");
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY_ASSIGN(file, the_file(rest));
    return restore_backup(file, data_dir);
  });
}

void print_status(const SnapshotStatus& s, bool json) {
  if (json) {
    std::printf("{\"hash\":\"%s\",\"revision\":%" PRId64
                ",\"totalKey\":%zu,\"damagedKey\":%zu,\"totalSize\":%" PRIu64 "}\n",
                s.hash.c_str(), s.revision, s.keys, s.damaged, s.bytes);
    return;
  }
  std::printf("%-12s  %-10s  %-10s  %s\n", "HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE");
  std::printf("%-12s  %-10" PRId64 "  %-10zu  %" PRIu64 "\n", s.hash.substr(0, 12).c_str(),
              s.revision, s.keys, s.bytes);
}

int status(const std::vector<std::string>& args) {
  std::string output;
  Flags flags(
      "Reads a snapshot to its end and tells what it holds; an error when it was cut or "
      "damaged.\n\nUsage:\n  keles snapshot status FILE [-o table|json]");
  add_output_flag(flags, output);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY_ASSIGN(file, the_file(rest));
    TRY(check_output(output));
    TRY_ASSIGN(found, snapshot_status(file));
    print_status(found, output == "json");
    if (found.damaged > 0)
      std::fprintf(stderr,
                   "warning: %zu records were damaged already when it was taken: see `keles store "
                   "check --from %s`\n",
                   found.damaged, file.c_str());
    return {};
  });
}

void print_list(const std::vector<SnapshotFile>& files, const std::string& directory, bool json) {
  if (json) {
    std::string out = "[";
    for (const SnapshotFile& f : files) {
      out += out.size() > 1 ? ",{\"name\":" : "{\"name\":";
      write_json_string(out, f.name, false);
      out += ",\"location\":";
      write_json_string(out, directory + "/" + f.name, false);
      out += ",\"revision\":" + std::to_string(f.revision) +
             ",\"size\":" + std::to_string(f.bytes) + ",\"created\":\"" + format_time(f.written) +
             "\"}";
    }
    std::printf("%s]\n", out.c_str());
    return;
  }
  size_t width = 4;
  for (const SnapshotFile& f : files) width = std::max(width, f.name.size());
  const int w = static_cast<int>(width);
  std::printf("%-*s  %-10s  %-10s  %s\n", w, "NAME", "REVISION", "SIZE", "CREATED");
  for (const SnapshotFile& f : files)
    std::printf("%-*s  %-10" PRId64 "  %-10" PRIu64 "  %s\n", w, f.name.c_str(), f.revision,
                f.bytes, format_time(f.written).c_str());
}

int list(const std::vector<std::string>& args) {
  std::string data_dir = kDataDir, directory, output;
  Flags flags(
      "Lists the snapshots in a directory, the oldest first. Whether they are whole `keles "
      "snapshot status` tells.\n\nUsage:\n  keles snapshot list [flags]");
  flags.add("data-dir", &data_dir, "The server's --data-dir.");
  flags.add("snapshot-dir", &directory,
            "The directory. Empty: where the server's schedule puts them by default, snapshots in "
            "the data directory.");
  add_output_flag(flags, output);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(check_output(output));
    if (directory.empty()) directory = default_snapshot_directory(data_dir);
    TRY_ASSIGN(files, list_snapshots(directory));
    print_list(files, directory, output == "json");
    return {};
  });
}

}  // namespace

int snapshot_main(const std::vector<std::string>& args) {
  const std::string which = args.empty() ? "" : args[0];
  const std::vector<std::string> rest(args.begin() + (args.empty() ? 0 : 1), args.end());
  if (which == "save") return save(rest);
  if (which == "status") return status(rest);
  if (which == "restore") return restore(rest);
  if (which == "list" || which == "ls") return list(rest);
  const bool asked = which == "--help" || which == "-h" || which == "help";
  if (!asked && !which.empty())
    std::fprintf(stderr, "error: unknown command \"%s\"\n\n", which.c_str());
  std::fputs(kHelp, asked ? stdout : stderr);
  return asked ? 0 : 1;
}

}  // namespace keles
