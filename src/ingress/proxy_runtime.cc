#include "ingress/proxy_runtime.h"

#include <algorithm>

#include "net/stream.h"

namespace keles::ingress {
namespace {

constexpr size_t kLongestLine = 8000;  // HAProxy reads lines of 16 KB
constexpr size_t kLongestAnswer = 1 << 20;
constexpr std::string_view kInfo = "show info";

bool has(const std::vector<Target>& in, const Target& t) {
  return std::binary_search(in.begin(), in.end(), t);
}

Task<Result<std::string>> ask(Context ctx, std::string socket, std::string line) {
  auto stream = co_await net::dial(ctx, "unix:" + socket, 0);
  if (!stream.ok()) co_return stream.status();
  Status s = co_await (*stream)->write(ctx, line + "\n");
  std::string out;
  while (s.ok() && out.size() < kLongestAnswer) {
    auto more = co_await (*stream)->read(ctx);
    if (!more.ok()) co_return more.status();
    if (more->empty()) co_return out;
    out += *more;
  }
  co_return s.ok() ? Status::unavailable("HAProxy's answer has no end") : s;
}

// Of `show info` and what follows it: which worker it is, and whether it did all.
Status judge(std::string_view answer, const std::string& place) {
  const std::string_view info = answer.substr(0, answer.find("\n\n"));
  if (info.find("\ndescription: " + worker_description(place)) == std::string_view::npos)
    return Status(Reason::kNotFound, "another worker answers");
  for (std::string_view rest = answer.substr(info.size()); !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (!line.empty() && line != "New server registered.")
      return Status::unavailable("HAProxy says: " + std::string(line));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return Status();
}

}  // namespace

std::vector<std::string> endpoint_commands(const Backends& before, const Backends& after,
                                           Parked* parked) {
  std::vector<std::string> out;
  for (const auto& [name, backend] : after) {
    const std::vector<Target>& had = before.at(name).targets;
    // New ones first: at no time is there none.
    for (const Target& t : backend.targets) {
      if (has(had, t)) continue;
      const std::string server = name.text() + "/" + server_name(t);
      if (parked->erase({name, t}) > 0) {
        out.push_back("set server " + server + " state ready");
      } else {
        out.push_back("add server " + name.text() + "/" + server_line(name, backend, t) +
                      ";enable server " + server);
      }
    }
    for (const Target& t : had) {
      if (has(backend.targets, t)) continue;
      parked->insert({name, t});
      out.push_back("set server " + name.text() + "/" + server_name(t) + " state maint");
    }
  }
  return out;
}

// The question of who answers goes before the commands of each line: a worker that takes its place
// meanwhile has read all of it from the files.
Task<Status> tell_worker(Context ctx, std::string socket, std::string place,
                         std::vector<std::string> commands) {
  auto first = co_await ask(ctx, socket, std::string(kInfo));
  if (!first.ok()) co_return first.status();
  Status s = judge(*first, place);
  if (!s.ok()) co_return s;
  std::string line;
  for (size_t i = 0; i <= commands.size(); ++i) {
    const bool last = i == commands.size();
    if (!line.empty() && (last || line.size() + commands[i].size() > kLongestLine)) {
      auto answer = co_await ask(ctx, socket, line);
      if (!answer.ok()) co_return answer.status();
      s = judge(*answer, place);
      if (!s.ok()) co_return Status::unavailable(std::string(s.message()));
      line.clear();
    }
    if (last) break;
    if (line.empty()) line = kInfo;
    line += ";" + commands[i];
  }
  co_return Status();
}

}  // namespace keles::ingress
