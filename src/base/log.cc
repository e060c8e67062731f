#include "base/log.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/encoding.h"
#include "base/log_format.h"

namespace keles::log {
namespace {

std::atomic<int> g_level{0};
std::atomic<int> g_fd{2};

std::atomic<Format> g_format{Format::kText};

std::string_view file_of(const std::source_location& where) {
  std::string_view file = where.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return file;
}

std::string text_line(char severity, std::string_view message, Fields fields,
                      const std::source_location& where, const timespec& ts) {
  tm t{};
  localtime_r(&ts.tv_sec, &t);
  const std::string_view file = file_of(where);
  char head[160];
  int n =
      std::snprintf(head, sizeof head, "%c%02d%02d %02d:%02d:%02d.%06ld %7ld %.*s:%u] ", severity,
                    t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, ts.tv_nsec / 1000,
                    syscall(SYS_gettid), static_cast<int>(file.size()), file.data(), where.line());
  std::string line(head, static_cast<size_t>(n));
  append_quoted(line, message);
  for (const Field& f : fields) {
    line.append(" ").append(f.key).append("=");
    if (f.quoted) {
      append_quoted(line, f.value);
    } else {
      line += f.value;
    }
  }
  return line + '\n';
}

// RFC 8259; bytes that are no UTF-8 stand for U+FFFD.
void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    bool whole = n > 0 && i + n <= text.size();
    for (size_t k = 1; whole && k < n; ++k) {
      whole = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    }
    if (!whole) {
      out += "\\ufffd";
      ++i;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c < 0x20 || c == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out.append(text.substr(i, n));
    }
    i += n;
  }
  out += '"';
}

std::string json_line(char severity, std::string_view message, Fields fields,
                      const std::source_location& where, const timespec& ts) {
  const std::string_view file = file_of(where);
  char head[64];
  std::snprintf(head, sizeof head, "{\"ts\":%lld.%03ld,\"caller\":",
                static_cast<long long>(ts.tv_sec) * 1000 + ts.tv_nsec / 1'000'000,
                ts.tv_nsec / 1000 % 1000);
  std::string line(head);
  append_json(line, std::string(file) + ":" + std::to_string(where.line()));
  line += ",\"msg\":";
  append_json(line, message);
  if (severity == 'I') line += ",\"v\":0";
  if (severity == 'W') line += ",\"v\":0,\"severity\":\"warning\"";
  for (const Field& f : fields) {
    line += ',';
    append_json(line, f.key);
    line += ':';
    if (f.quoted) {
      append_json(line, f.value);
    } else {
      line += f.value;
    }
  }
  return line + "}\n";
}

void emit(char severity, std::string_view message, Fields fields,
          const std::source_location& where) {
  int fd = g_fd.load(std::memory_order_relaxed);
  if (fd < 0) return;
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  const bool json = g_format.load(std::memory_order_relaxed) == Format::kJson;
  const std::string line = json ? json_line(severity, message, fields, where, ts)
                                : text_line(severity, message, fields, where, ts);
  (void)!::write(fd, line.data(), line.size());
}

}  // namespace

void info(std::string_view m, Fields f, std::source_location w) { emit('I', m, f, w); }
void warn(std::string_view m, Fields f, std::source_location w) { emit('W', m, f, w); }
void error(std::string_view m, Fields f, std::source_location w) { emit('E', m, f, w); }
void set_verbosity(int level) { g_level = level; }
bool v(int level) { return g_level.load(std::memory_order_relaxed) >= level; }
void set_output(int fd) { g_fd = fd; }
void set_format(Format format) { g_format = format; }
Status set_format(std::string_view name) {
  if (name == "text" || name == "json") {
    set_format(name == "json" ? Format::kJson : Format::kText);
    return {};
  }
  return Status::bad_request("--logging-format: Invalid value: \"" + std::string(name) +
                             "\": Unsupported log format, permitted formats: \"json\", \"text\"");
}

}  // namespace keles::log
