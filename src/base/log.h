// Structured logging with klog's header and levels: `I1123 14:27:34.123456 1234 file.cc:12]
// "Message" key="value"`. Thread-safe. Writes to standard error (or the file descriptor set at
// start). Values are escaped.
//
//   log::info("Pod is running", {{"pod", key}, {"restarts", n}});
//   if (log::v(4)) log::info("...", ...);
#pragma once

#include <concepts>
#include <initializer_list>
#include <source_location>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keles::log {

struct Field {
  std::string_view key;
  std::string value;
  bool quoted = true;
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), quoted(false) {}
  template <std::integral T>
  Field(std::string_view k, T v) : key(k), value(std::to_string(v)), quoted(false) {}
  Field(std::string_view k, double v) : key(k), value(std::to_string(v)), quoted(false) {}
  Field(std::string_view k, const Status& s) : key(k), value(s.to_string()) {}
};
using Fields = std::initializer_list<Field>;

void info(std::string_view message, Fields fields = {},
          std::source_location where = std::source_location::current());
void warn(std::string_view message, Fields fields = {},
          std::source_location where = std::source_location::current());
void error(std::string_view message, Fields fields = {},
           std::source_location where = std::source_location::current());

void set_verbosity(int level);  // -v
bool v(int level);
void set_output(int fd);  // default 2; -1 drops everything

}  // namespace keles::log
