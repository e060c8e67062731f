// `keles store`: looks after the embedded store: check, backup, restore, repair, migrate. A backup
// of a running server goes through the server; everything else takes the store's lock.
#include <cstdio>
#include <memory>
#include <utility>

#include "base/flags.h"
#include "etcd/snapshot_file.h"
#include "keles/commands.h"
#include "keles/etcd_flags.h"
#include "keles/runtime.h"
#include "keles/store_backup.h"
#include "store/backup.h"
#include "store/encryption/encryption.h"
#include "store/maintenance.h"

namespace keles {
namespace {

constexpr char kUsage[] =
    "Looks after the store of a control plane. A backup is taken while its server runs; for "
    "everything else the server is stopped.\n\nUsage:\n"
    "  keles store check   --data-dir DIR | --from BACKUP [--encryption-provider-config FILE]\n"
    "      Reads every record down to its last field and says what is wrong; changes nothing. "
    "What\n"
    "      is encrypted is looked into when it is told with what; the others leave it as it is.\n"
    "  keles store backup  --to BACKUP [--kubeconfig FILE | --data-dir DIR]\n"
    "      Through the running server, as an administrator; or of a stopped one's directory.\n"
    "  keles store restore --from BACKUP --data-dir DIR\n"
    "      Makes the store anew where there is none. The certificates (DIR/pki) are not in it.\n"
    "  keles store repair  --data-dir DIR [--yes]\n"
    "      Says what can no longer be read; with --yes goes on without it, and keeps the old "
    "store.\n"
    "  keles store migrate --data-dir DIR --to SNAPSHOT\n"
    "      Of a stopped server's store a snapshot from which an etcd begins (`etcdctl snapshot\n"
    "      restore`), with every object's revisions.\n"
    "  keles store migrate --etcd-servers URL... --data-dir DIR\n"
    "      The other way: makes the store, where there is none, of what an etcd holds.\n";

struct StoreFlags {
  std::string data_dir, from, to, kubeconfig, context, encryption_config;
  EtcdFlags etcd;
  bool yes = false;
};

Status need(const std::string& value, const char* flag) {
  if (!value.empty()) return Status();
  return Status::bad_request(std::string("required flag \"") + flag + "\" not set");
}

void print_report(const std::string& what, const StoreReport& r) {
  std::printf("%s: revision %lld, identity %s\n%zu objects of %zu bytes can be read\n",
              what.c_str(), static_cast<long long>(r.revision),
              r.identity.empty() ? "(none)" : r.identity.c_str(), r.objects, r.bytes);
  for (const std::string& s : r.remarks) std::printf("remark: %s\n", s.c_str());
  for (const std::string& s : r.problems) std::printf("problem: %s\n", s.c_str());
}

Status check(const StoreFlags& f) {
  if (f.from.empty() == f.data_dir.empty())
    return Status::bad_request("check wants either --data-dir or --from");
  StoreReport report;
  std::shared_ptr<Encryption> encryption;
  if (!f.encryption_config.empty()) {
    Encryption::Options sealing;
    sealing.file = f.encryption_config;
    TRY_ASSIGN(opened, Encryption::from_file(std::move(sealing)));
    encryption = std::move(opened);
  }
  if (f.from.empty()) {
    TRY_ASSIGN(found, check_store(store_in(f.data_dir), encryption.get()));
    report = std::move(found);
    print_report(store_in(f.data_dir).directory, report);
  } else {
    TRY_ASSIGN(contents, read_backup_file(f.from));
    report = check_contents(contents, encryption.get());
    print_report(f.from, report);
  }
  if (report.problems.empty()) {
    std::printf("no problems\n");
    return Status();
  }
  return Status(
      Reason::kInternalError,
      "there are problems: " +
          (f.from.empty()
               ? "restore a backup, or see what `keles store repair --data-dir " + f.data_dir +
                     "` would drop"
               : std::string("take another backup; a restored store would have them too")));
}

Status repair(const StoreFlags& f) {
  TRY(need(f.data_dir, "data-dir"));
  const StorePlace place = store_in(f.data_dir);
  TRY_ASSIGN(done, repair_store(place, f.yes));
  print_report(place.directory, done.found);
  if (done.found.problems.empty()) {
    std::printf("nothing to repair\n");
    return Status();
  }
  for (const std::string& s : done.dropped)
    std::printf("%s: %s\n", f.yes ? "dropped" : "would be dropped", s.c_str());
  if (!f.yes) {
    return Status::bad_request(
        "nothing was changed: restore a backup if you have one; to go on without what is named "
        "above, say --yes");
  }
  std::printf("repaired; the store as it was is in %s: remove it when it is no longer needed\n",
              done.kept_at.c_str());
  return Status();
}

Status migrate(const StoreFlags& f) {
  TRY(need(f.data_dir, "data-dir"));
  if (f.to.empty() == f.etcd.servers.empty())
    return Status::bad_request("migrate wants either --to or --etcd-servers");
  const StorePlace place = store_in(f.data_dir);
  if (!f.to.empty()) {
    TRY_ASSIGN(contents, read_store(place));
    if (!contents.damaged.empty()) {
      return Status::internal("the store holds what cannot be read: " +
                              contents.damaged.front().key + "; see `keles store repair`");
    }
    TRY(etcdserver::export_snapshot(f.to, contents));
    std::printf(
        "%s: %zu records up to revision %lld; `etcdctl snapshot restore` makes an etcd of it\n",
        f.to.c_str(), contents.records.size(), static_cast<long long>(contents.revision));
    return Status();
  }
  TRY_ASSIGN(contents, read_etcd(f.etcd));
  const size_t records = contents.records.size() + contents.damaged.size();
  const auto revision = static_cast<long long>(contents.revision);
  TRY(restore_store(place, std::move(contents)));
  std::printf("%s: %zu records as of revision %lld; the next revision is %lld\n",
              place.directory.c_str(), records, revision, revision + kRevisionLeap + 1);
  return Status();
}

Status carry_out(const StoreFlags& f, const std::vector<std::string>& rest) {
  if (rest.size() != 1)
    return Status::bad_request("want one of check, backup, restore, repair, migrate");
  const std::string& verb = rest.front();
  if (verb == "check") return check(f);
  if (verb == "restore") {
    TRY(need(f.from, "from"));
    TRY(need(f.data_dir, "data-dir"));
    return restore_backup(f.from, f.data_dir);
  }
  if (verb == "repair") return repair(f);
  if (verb == "migrate") return migrate(f);
  if (verb != "backup")
    return Status::bad_request("unknown command \"" + verb +
                               "\": want one of check, backup, restore, repair, migrate");
  TRY(need(f.to, "to"));
  BackupSource source;
  source.data_dir = f.data_dir;
  source.kubeconfig = f.kubeconfig;
  source.context = f.context;
  return back_up(source, f.to);
}

}  // namespace

int store_main(const std::vector<std::string>& args) {
  StoreFlags f;
  Flags flags(kUsage);
  flags.add("data-dir", &f.data_dir, "The server's data directory (its --data-dir).");
  flags.add("from", &f.from, "The backup to read.");
  flags.add("to", &f.to, "The file to write; it must not exist.");
  flags.add("kubeconfig", &f.kubeconfig, "How to reach the running server, as kubectl has it.");
  flags.add("context", &f.context, "The kubeconfig's context to use.");
  flags.add("encryption-provider-config", &f.encryption_config,
            "The server's --encryption-provider-config, for check.");
  flags.add("etcd-servers", &f.etcd.servers, "Of migrate: the etcd whose state is taken over.");
  add_etcd_flags(flags, f.etcd);
  flags.add("yes", &f.yes, "Carry the repair out.");
  return run_command(&flags, args, [&f](const std::vector<std::string>& rest) -> Status {
    TRY(carry_out(f, rest));
    if (std::fflush(stdout) != 0) return Status::internal("cannot write to the standard output");
    return Status();
  });
}

}  // namespace keles
