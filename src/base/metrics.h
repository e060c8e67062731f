// Counters, gauges and histograms in Prometheus text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/). Thread-safe.
// Names and label names are upstream's. Metrics live as long as the process:
//
//   static metrics::Counter& kRequests = metrics::counter("apiserver_request_total", "help",
//   {"verb", "code"}); kRequests.with({"GET", "200"}).add();
//
// A family holds at most 10,000 label combinations; further ones share one series with value
// "overflow".
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace keles::metrics {

using LabelValues = std::vector<std::string>;

class Value {
 public:
  void add(double d = 1);
  void set(double d) { v_.store(d, std::memory_order_relaxed); }
  double get() const { return v_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> v_{0};
};

class Buckets {
 public:
  explicit Buckets(const std::vector<double>& bounds);
  void observe(double x);

 private:
  friend class Histogram;
  const std::vector<double>& bounds_;
  std::vector<std::atomic<uint64_t>> counts_;  // one more than bounds: +Inf
  Value sum_;
};

class Family {
 public:
  Family(std::string name, std::string help, std::vector<std::string> labels);
  virtual ~Family() = default;
  virtual void write(std::string& out) const = 0;

 protected:
  std::string name_, help_;
  std::vector<std::string> labels_;
  mutable std::mutex mutex_;
  void header(std::string& out, std::string_view type) const;
  std::string label_text(const LabelValues& values, std::string_view extra = {}) const;
};

class Counter : public Family {
 public:
  Counter(std::string name, std::string help, std::vector<std::string> labels,
          std::string_view type = "counter");
  Value& with(const LabelValues& values);
  void add(double d = 1) { with({}).add(d); }
  void set(double d) { with({}).set(d); }
  void write(std::string& out) const override;

 private:
  std::string_view type_;
  std::map<LabelValues, std::unique_ptr<Value>> series_;
};
using Gauge = Counter;

class Histogram : public Family {
 public:
  Histogram(std::string name, std::string help, std::vector<std::string> labels,
            std::vector<double> bounds);
  Buckets& with(const LabelValues& values);
  void observe(double x) { with({}).observe(x); }
  void write(std::string& out) const override;

 private:
  std::vector<double> bounds_;
  std::map<LabelValues, std::unique_ptr<Buckets>> series_;
};

// Registers with the process's registry and returns the same object for the same name.
Counter& counter(std::string name, std::string help, std::vector<std::string> labels = {});
Gauge& gauge(std::string name, std::string help, std::vector<std::string> labels = {});
Histogram& histogram(std::string name, std::string help, std::vector<std::string> labels = {},
                     std::vector<double> bounds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5,
                                                   10});

// Everything registered, plus process_* (CPU, memory, fds), as one text.
std::string expose();

}  // namespace keles::metrics
