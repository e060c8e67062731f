#include "base/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

namespace keles::metrics {
namespace {

constexpr size_t kMaxSeries = 10'000;

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Family>> families;
};
Registry& registry() {
  static Registry* r =
      new Registry;  // lives as long as the process: metrics are used in static destructors too
  return *r;
}

std::string number(double d) {
  if (std::isinf(d)) return d > 0 ? "+Inf" : "-Inf";
  char buf[40];
  if (d == std::floor(d) && std::fabs(d) < 1e15) {
    std::snprintf(buf, sizeof buf, "%.0f", d);
  } else {
    std::snprintf(buf, sizeof buf, "%.17g", d);
    double back;
    char shorter[40];
    std::snprintf(shorter, sizeof shorter, "%.12g", d);
    if (std::sscanf(shorter, "%lf", &back) == 1 && back == d) return shorter;
  }
  return buf;
}

template <class F, class... A>
F& registered(const std::string& name, A&&... args) {
  Registry& r = registry();
  std::lock_guard lock(r.mutex);
  auto& slot = r.families[name];
  if (!slot) slot = std::make_unique<F>(name, std::forward<A>(args)...);
  return static_cast<F&>(*slot);
}

}  // namespace

void Value::add(double d) {
  double old = v_.load(std::memory_order_relaxed);
  while (!v_.compare_exchange_weak(old, old + d, std::memory_order_relaxed)) {
  }
}

Buckets::Buckets(const std::vector<double>& bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}

void Buckets::observe(double x) {
  size_t i =
      static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), x) - bounds_.begin());
  counts_[i].fetch_add(1, std::memory_order_relaxed);
  sum_.add(x);
}

Family::Family(std::string name, std::string help, std::vector<std::string> labels)
    : name_(std::move(name)), help_(std::move(help)), labels_(std::move(labels)) {}

void Family::header(std::string& out, std::string_view type) const {
  out.append("# HELP ")
      .append(name_)
      .append(" ")
      .append(help_)
      .append("\n# TYPE ")
      .append(name_)
      .append(" ")
      .append(type)
      .append("\n");
}

std::string Family::label_text(const LabelValues& values, std::string_view extra) const {
  if (labels_.empty() && extra.empty()) return "";
  std::string s = "{";
  for (size_t i = 0; i < labels_.size(); ++i) {
    if (i) s += ",";
    s.append(labels_[i]).append("=\"");
    for (char c : i < values.size() ? values[i] : std::string()) {
      if (c == '"' || c == '\\') s += '\\';
      if (c == '\n') {
        s += "\\n";
      } else {
        s += c;
      }
    }
    s += "\"";
  }
  if (!extra.empty()) {
    if (!labels_.empty()) s += ",";
    s += extra;
  }
  return s + "}";
}

Counter::Counter(std::string name, std::string help, std::vector<std::string> labels,
                 std::string_view type)
    : Family(std::move(name), std::move(help), std::move(labels)), type_(type) {}

Value& Counter::with(const LabelValues& values) {
  std::lock_guard lock(mutex_);
  auto it = series_.find(values);
  if (it != series_.end()) return *it->second;
  LabelValues key = series_.size() < kMaxSeries ? values : LabelValues(labels_.size(), "overflow");
  auto& slot = series_[key];
  if (!slot) slot = std::make_unique<Value>();
  return *slot;
}

void Counter::write(std::string& out) const {
  std::lock_guard lock(mutex_);
  header(out, type_);
  for (const auto& [values, v] : series_) {
    out.append(name_).append(label_text(values)).append(" ").append(number(v->get())).append("\n");
  }
}

Histogram::Histogram(std::string name, std::string help, std::vector<std::string> labels,
                     std::vector<double> bounds)
    : Family(std::move(name), std::move(help), std::move(labels)), bounds_(std::move(bounds)) {}

Buckets& Histogram::with(const LabelValues& values) {
  std::lock_guard lock(mutex_);
  auto it = series_.find(values);
  if (it != series_.end()) return *it->second;
  LabelValues key = series_.size() < kMaxSeries ? values : LabelValues(labels_.size(), "overflow");
  auto& slot = series_[key];
  if (!slot) slot = std::make_unique<Buckets>(bounds_);
  return *slot;
}

void Histogram::write(std::string& out) const {
  std::lock_guard lock(mutex_);
  header(out, "histogram");
  for (const auto& [values, b] : series_) {
    uint64_t total = 0;
    for (size_t i = 0; i <= bounds_.size(); ++i) {
      total += b->counts_[i].load(std::memory_order_relaxed);
      std::string le =
          "le=\"" + (i < bounds_.size() ? number(bounds_[i]) : std::string("+Inf")) + "\"";
      out.append(name_)
          .append("_bucket")
          .append(label_text(values, le))
          .append(" ")
          .append(std::to_string(total))
          .append("\n");
    }
    out.append(name_)
        .append("_sum")
        .append(label_text(values))
        .append(" ")
        .append(number(b->sum_.get()))
        .append("\n");
    out.append(name_)
        .append("_count")
        .append(label_text(values))
        .append(" ")
        .append(std::to_string(total))
        .append("\n");
  }
}

Counter& counter(std::string name, std::string help, std::vector<std::string> labels) {
  return registered<Counter>(name, std::move(help), std::move(labels), "counter");
}
Gauge& gauge(std::string name, std::string help, std::vector<std::string> labels) {
  return registered<Gauge>(name, std::move(help), std::move(labels), "gauge");
}
Histogram& histogram(std::string name, std::string help, std::vector<std::string> labels,
                     std::vector<double> bounds) {
  return registered<Histogram>(name, std::move(help), std::move(labels), std::move(bounds));
}

std::string expose() {
  std::string out;
  Registry& r = registry();
  {
    std::lock_guard lock(r.mutex);
    for (const auto& [name, f] : r.families) f->write(out);
  }
  auto one = [&out](std::string_view name, std::string_view type, std::string_view help, double v) {
    out.append("# HELP ")
        .append(name)
        .append(" ")
        .append(help)
        .append("\n# TYPE ")
        .append(name)
        .append(" ")
        .append(type)
        .append("\n");
    out.append(name).append(" ").append(number(v)).append("\n");
  };
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  one("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
      seconds(u.ru_utime) + seconds(u.ru_stime));
  long pages = 0, resident = 0;
  if (FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%ld %ld", &pages, &resident) != 2) resident = 0;
    std::fclose(f);
  }
  long page = sysconf(_SC_PAGESIZE);
  one("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
      static_cast<double>(resident * page));
  one("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
      static_cast<double>(pages * page));
  std::error_code ec;
  size_t fds = 0;
  for (auto it = std::filesystem::directory_iterator("/proc/self/fd", ec);
       !ec && it != std::filesystem::directory_iterator(); it.increment(ec)) {
    ++fds;
  }
  one("process_open_fds", "gauge", "Number of open file descriptors.", static_cast<double>(fds));
  return out;
}

}  // namespace keles::metrics
