#include "keles/snapshot_flags.h"

#include "base/log.h"

namespace keles {

std::string default_snapshot_directory(const std::string& data_dir) {
  return data_dir + "/snapshots";
}

void add_snapshot_flags(Flags& f, SnapshotSchedule& s) {
  f.add("snapshot-schedule-cron", &s.cron,
        "When snapshots of the store are taken, as CronJobs have it, in UTC or the zone of a "
        "TZ=NAME in front; for example \"0 */12 * * *\". Empty: none.");
  f.add("snapshot-retention", &s.retention,
        "How many of them are kept; older ones go once another is taken. 0: all.");
  f.add("snapshot-dir", &s.directory,
        "Where they are put. Empty: snapshots in the data directory.");
}

void complete_snapshot_schedule(const std::string& data_dir, const std::string& node, bool shared,
                                SnapshotSchedule* s) {
  if (s->directory.empty()) s->directory = default_snapshot_directory(data_dir);
  s->node = node;
  if (s->cron.empty()) return;
  log::info("Snapshots of the store are taken",
            {{"cron", s->cron}, {"directory", s->directory}, {"retention", s->retention}});
  if (shared)
    log::warn(
        "The store is in etcd, and each server with a schedule takes snapshots of it: they are "
        "restored into a store of its own (keles snapshot restore, keles store migrate); etcd "
        "itself is saved with etcdctl snapshot save");
}

}  // namespace keles
