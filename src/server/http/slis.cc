#include "server/http/slis.h"

#include <map>
#include <mutex>
#include <utility>

namespace keles::server {
namespace {

struct Seen {
  bool ok = false;
  uint64_t good = 0, bad = 0;
};

// One for the process, as its metrics are. The checks are the server's own: there are few.
struct Table {
  std::mutex mutex;
  std::map<std::pair<std::string, std::string>, Seen> checks;
};
Table& table() {
  static Table* t = new Table;
  return *t;
}

void line(std::string& out, const char* metric, const std::pair<std::string, std::string>& check,
          const char* status, uint64_t n) {
  out.append(metric).append("{name=\"").append(check.first);
  if (*status) out.append("\",status=\"").append(status);
  out.append("\",type=\"").append(check.second).append("\"} ").append(std::to_string(n)) += '\n';
}

}  // namespace

void note_health(const std::string& name, const std::string& type, bool ok) {
  std::lock_guard lock(table().mutex);
  Seen& seen = table().checks[{name, type}];
  seen.ok = ok;
  ++(ok ? seen.good : seen.bad);
}

std::string slis_text() {
  std::lock_guard lock(table().mutex);
  std::string out =
      "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single "
      "healthcheck.\n# TYPE kubernetes_healthcheck gauge\n";
  for (const auto& [check, seen] : table().checks) {
    line(out, "kubernetes_healthcheck", check, "", seen.ok ? 1 : 0);
  }
  out +=
      "# HELP kubernetes_healthchecks_total [STABLE] This metric records the results of all "
      "healthcheck.\n# TYPE kubernetes_healthchecks_total counter\n";
  for (const auto& [check, seen] : table().checks) {
    if (seen.bad > 0) line(out, "kubernetes_healthchecks_total", check, "error", seen.bad);
    if (seen.good > 0) line(out, "kubernetes_healthchecks_total", check, "success", seen.good);
  }
  return out;
}

}  // namespace keles::server
