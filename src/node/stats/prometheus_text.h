// Metrics that are made for one answer, in Prometheus' text form: those of a node's containers come
// and go and are not the process's own (base/metrics.h).
#pragma once

#include <charconv>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace keles::node {

class PrometheusText {
 public:
  struct Family {
    std::string name, type, help, series;
  };
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // In the order in which they are named; one without a series is left out.
  Family* family(std::string name, std::string type, std::string help) {
    families_.push_back({std::move(name), std::move(type), std::move(help), ""});
    return &families_.back();
  }

  // `a="x",b="y"`, values escaped.
  static std::string labels(Labels list) {
    std::string out;
    for (const auto& [name, value] : list) {
      if (!out.empty()) out += ',';
      out.append(name).append("=\"");
      for (char c : value) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
          out += "\\n";
        } else {
          out += c;
        }
      }
      out += '"';
    }
    return out;
  }

  // `labels` "": none. `at_ms` 0: without a time of its own.
  static void add(Family* f, std::string_view labels, double value, int64_t at_ms = 0) {
    char text[40];
    const char* end = std::to_chars(text, text + sizeof text, value).ptr;
    f->series.append(f->name);
    if (!labels.empty()) f->series.append("{").append(labels).append("}");
    f->series.append(" ").append(text, static_cast<size_t>(end - text));
    if (at_ms) f->series.append(" ").append(std::to_string(at_ms));
    f->series += '\n';
  }

  std::string text() const {
    std::string out;
    for (const Family& f : families_) {
      if (f.series.empty()) continue;
      out.append("# HELP ").append(f.name).append(" ").append(f.help).append("\n# TYPE ");
      out.append(f.name).append(" ").append(f.type).append("\n").append(f.series);
    }
    return out;
  }

 private:
  std::deque<Family> families_;
};

}  // namespace keles::node
