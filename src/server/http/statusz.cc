#include "server/http/statusz.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "net/accept.h"

namespace keles::server {
namespace {

constexpr std::array kPaths{"/debug",  "/healthz", "/livez",  "/metrics",
                            "/readyz", "/statusz", "/version"};

struct About {
  std::string component, version;
  WallTime started;
};

// "1.36.0" of "v1.36.0+keles"
std::string plain_version(std::string_view git) {
  if (git.starts_with('v')) git.remove_prefix(1);
  return std::string(git.substr(0, git.find('+')));
}

std::string uptime(Duration d) {
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  char text[48];
  std::snprintf(text, sizeof text, "%lld hr %02lld min %02lld sec",
                static_cast<long long>(s / 3600), static_cast<long long>(s / 60 % 60),
                static_cast<long long>(s % 60));
  return text;
}

// Go's time.UnixDate.
std::string unix_date(WallTime t) {
  const std::time_t seconds = t.unix_seconds();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[48];
  std::strftime(text, sizeof text, "%a %b %e %H:%M:%S UTC %Y", &parts);
  return text;
}

WallTime wall_now() {
  timespec ts{};
  clock_gettime(CLOCK_REALTIME, &ts);
  return WallTime{ts.tv_sec * 1'000'000'000 + ts.tv_nsec};
}

std::string as_text(const About& a) {
  std::string paths;
  for (const char* p : kPaths) paths.append(paths.empty() ? "" : " ").append(p);
  return "\n" + a.component +
         " statusz\nWarning: This endpoint is not meant to be machine parseable, has no formatting "
         "compatibility guarantees and is for debugging purposes only.\n\nStarted: " +
         unix_date(a.started) + "\nUp: " + uptime(wall_now() - a.started) +
         "\nGo version: \nBinary version: " + a.version +
         "\nEmulation version: 1.36\nPaths: " + paths + "\n";
}

std::string as_json(const About& a, std::string_view version) {
  std::string out = R"({"kind":"Statusz","apiVersion":"config.k8s.io/)" + std::string(version) +
                    R"(","metadata":{"name":)";
  write_json_string(out, a.component);
  out += R"(},"startTime":")" + format_time(a.started) + R"(","uptimeSeconds":)" +
         std::to_string((wall_now() - a.started) / 1s) + R"(,"goVersion":"","binaryVersion":)";
  write_json_string(out, a.version);
  out += R"(,"emulationVersion":"1.36","paths":[)";
  for (const char* p : kPaths) out.append(p == kPaths[0] ? "\"" : ",\"").append(p).append("\"");
  return out + "]}\n";
}

PathAnswer answer(std::string text, std::string content_type) {
  PathAnswer out;
  out.bytes = std::make_shared<const std::string>(std::move(text));
  out.content_type = std::move(content_type);
  return out;
}

}  // namespace

PathSource statusz_source(std::string component, std::string git_version, WallTime started) {
  const About about{std::move(component), plain_version(git_version), started};
  return [about](const PathQuestion& q) -> std::optional<PathAnswer> {
    if (q.path != "/statusz") return std::nullopt;
    if (q.accept.empty()) return answer(as_text(about), "text/plain; charset=utf-8");
    std::optional<PathAnswer> out;
    net::best_range(q.accept, [&](const net::MediaRange& r) {
      const std::string_view version = r.parameter("v");
      const bool structured = r.parameter("as") == "Statusz" &&
                              r.parameter("g") == "config.k8s.io" &&
                              (version == "v1beta1" || version == "v1alpha1");
      if (structured && r.takes("application/json")) {
        out = answer(as_json(about, version), "application/json");
      } else if (r.takes("text/plain") && r.parameter("as").empty()) {
        out = answer(as_text(about), "text/plain; charset=utf-8");
      }
      return out.has_value();
    });
    if (!out) {
      out.emplace();
      out->status = 406;
    }
    return out;
  };
}

}  // namespace keles::server
