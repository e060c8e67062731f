#include "server/health_page.h"

#include "base/log.h"

namespace keles {
namespace {

// One check, with its reason: who may see this path may see that.
HealthPage one_check(const Health& health, const HealthQuestion& q,
                     const std::function<void(const std::string&, bool)>& note) {
  auto skip = [&](const std::string& n) { return n != q.only; };
  HealthPage out;
  for (const Health::Finding& f : health.look(skip)) {
    if (f.name != q.only || (f.ready_only && q.endpoint != "readyz")) continue;
    note(f.name, f.status.ok());
    out.status = f.status.ok() ? 200 : 500;
    out.text = f.status.ok() ? "ok" : "internal server error: " + f.status.message() + "\n";
    return out;
  }
  out.status = 404;
  out.text = "404 page not found\n";
  return out;
}

}  // namespace

HealthPage health_page(const Health& health, const HealthQuestion& q,
                       const std::function<void(const std::string&, bool)>& note) {
  if (!q.only.empty()) return one_check(health, q, note);
  std::set<std::string> unknown = q.excluded;
  std::string report, bad;
  auto skip = [&](const std::string& n) { return q.excluded.contains(n); };
  for (const Health::Finding& f : health.look(skip)) {
    if (f.ready_only && q.endpoint != "readyz") continue;
    if (q.excluded.contains(f.name)) {
      unknown.erase(f.name);
      report += "[+]" + f.name + " excluded: ok\n";
      continue;
    }
    note(f.name, f.status.ok());
    if (f.status.ok()) {
      report += "[+]" + f.name + " ok\n";
    } else {
      report += "[-]" + f.name + " failed: reason withheld\n";
      bad += (bad.empty() ? "" : ",") + f.name;
      log::info("Health check failed",
                {{"endpoint", q.endpoint}, {"check", f.name}, {"err", f.status}});
    }
  }
  std::string quoted;
  for (const std::string& u : unknown) quoted += (quoted.empty() ? "\"" : ",\"") + u + '"';
  if (!quoted.empty()) {
    report += "warn: some health checks cannot be excluded: no matches for " + quoted + "\n";
  }
  HealthPage out;
  out.status = bad.empty() ? 200 : 500;
  if (!bad.empty()) {
    out.text = report + q.endpoint + " check failed\n";
  } else {
    out.text = q.verbose ? report + q.endpoint + " check passed\n" : "ok";
  }
  return out;
}

}  // namespace keles
