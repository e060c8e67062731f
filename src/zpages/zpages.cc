#include "zpages/zpages.h"

#include <cstdio>
#include <ctime>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/time.h"
#include "net/accept.h"

namespace keles {
namespace {

constexpr std::string_view kStatusz = "/statusz", kFlagz = "/flagz";

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

std::string head(const AboutComponent& a, std::string_view page) {
  return "\n" + a.name + " " + std::string(page) +
         "\nWarning: This endpoint is not meant to be machine parseable, has no formatting "
         "compatibility guarantees and is for debugging purposes only.\n";
}

std::string status_text(const AboutComponent& a) {
  std::string paths;
  for (const std::string& p : a.paths) paths += (paths.empty() ? "" : " ") + p;
  return head(a, "statusz") + "\nStarted: " + unix_date(a.started) +
         "\nUp: " + uptime(wall_now() - a.started) +
         "\nGo version: \nBinary version: " + plain_version(a.git_version) +
         "\nEmulation version: 1.36\nPaths: " + paths + "\n";
}

std::string flags_text(const AboutComponent& a) {
  std::string out = head(a, "flagz");
  for (const auto& [name, value] : a.flags) out.append(name).append("=").append(value) += "\n";
  return out;
}

std::string begin(std::string_view kind, std::string_view version, const AboutComponent& a) {
  std::string out = R"({"kind":")" + std::string(kind) + R"(","apiVersion":"config.k8s.io/)" +
                    std::string(version) + R"(","metadata":{"name":)";
  write_json_string(out, a.name);
  return out + "}";
}

std::string status_json(const AboutComponent& a, std::string_view version) {
  std::string out = begin("Statusz", version, a) + R"(,"startTime":")" + format_time(a.started) +
                    R"(","uptimeSeconds":)" + std::to_string((wall_now() - a.started) / 1s) +
                    R"(,"goVersion":"","binaryVersion":)";
  write_json_string(out, plain_version(a.git_version));
  out += R"(,"emulationVersion":"1.36","paths":[)";
  for (const std::string& p : a.paths) {
    if (&p != &a.paths.front()) out += ',';
    write_json_string(out, p);
  }
  return out + "]}\n";
}

std::string flags_json(const AboutComponent& a, std::string_view version) {
  std::string out = begin("Flagz", version, a) + R"(,"flags":{)";
  bool first = true;
  for (const auto& [name, value] : a.flags) {
    if (!std::exchange(first, false)) out += ',';
    write_json_string(out, name);
    out += ':';
    write_json_string(out, value);
  }
  return out + "}}\n";
}

struct Page {
  std::string_view path, kind, name;
  std::string (*text)(const AboutComponent&);
  std::string (*json)(const AboutComponent&, std::string_view version);
};
constexpr Page kPages[] = {{kStatusz, "Statusz", "statusz", status_text, status_json},
                           {kFlagz, "Flagz", "flagz", flags_text, flags_json}};

ZPage as_text(const Page& page, const AboutComponent& about) {
  ZPage out;
  out.body = page.text(about);
  out.content_type = "text/plain; charset=utf-8";
  return out;
}

std::optional<ZPage> structured(const Page& page, const AboutComponent& about,
                                const net::MediaRange& r) {
  const std::string_view version = r.parameter("v");
  if (r.parameter("as") != page.kind || r.parameter("g") != "config.k8s.io") return std::nullopt;
  if (version != "v1beta1" && version != "v1alpha1") return std::nullopt;
  ZPage out;
  out.body = page.json(about, version);
  if (r.takes("application/json")) {
    out.content_type = "application/json";
  } else if (r.takes("application/yaml")) {
    const auto tree = parse_json(out.body);
    if (!tree.ok()) return std::nullopt;
    out.body = write_yaml(tree->root);
    out.content_type = "application/yaml";
  } else {
    return std::nullopt;
  }
  if (version == "v1alpha1") {
    out.warning = "This version of the " + std::string(page.name) +
                  " endpoint is deprecated. Please use a newer version.";
  }
  return out;
}

}  // namespace

std::optional<ZPage> zpage(const AboutComponent& about, std::string_view path,
                           std::string_view accept) {
  const Page* page = nullptr;
  for (const Page& p : kPages) {
    if (p.path == path) page = &p;
  }
  if (!page || (page->path == kFlagz && about.flags.empty())) return std::nullopt;
  if (accept.find_first_not_of(' ') == accept.npos) return as_text(*page, about);
  std::optional<ZPage> out;
  net::best_range(accept, [&](const net::MediaRange& r) {
    out = structured(*page, about, r);
    if (!out && r.takes("text/plain") && r.parameter("as").empty()) out = as_text(*page, about);
    return out.has_value();
  });
  if (!out) {
    out.emplace();
    out->status = 406;
  }
  return out;
}

}  // namespace keles
