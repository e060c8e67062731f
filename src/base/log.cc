#include "base/log.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/encoding.h"

namespace keles::log {
namespace {

std::atomic<int> g_level{0};
std::atomic<int> g_fd{2};

void emit(char severity, std::string_view message, Fields fields,
          const std::source_location& where) {
  int fd = g_fd.load(std::memory_order_relaxed);
  if (fd < 0) return;
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  tm t{};
  localtime_r(&ts.tv_sec, &t);
  std::string_view file = where.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
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
  line += '\n';
  (void)!::write(fd, line.data(), line.size());
}

}  // namespace

void info(std::string_view m, Fields f, std::source_location w) { emit('I', m, f, w); }
void warn(std::string_view m, Fields f, std::source_location w) { emit('W', m, f, w); }
void error(std::string_view m, Fields f, std::source_location w) { emit('E', m, f, w); }
void set_verbosity(int level) { g_level = level; }
bool v(int level) { return g_level.load(std::memory_order_relaxed) >= level; }
void set_output(int fd) { g_fd = fd; }

}  // namespace keles::log
