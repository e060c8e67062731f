#include "node/images/images.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::node {

namespace {

// Docker's own registry goes by several names.
std::string registry_of(std::string_view image) {
  size_t slash = image.find('/');
  std::string_view first = image.substr(0, slash);
  bool host = slash != std::string_view::npos &&
              (first.find('.') != std::string_view::npos ||
               first.find(':') != std::string_view::npos || first == "localhost");
  return host ? std::string(first) : "docker.io";
}

std::string normal_registry(std::string_view key) {
  for (std::string_view scheme : {"https://", "http://"})
    if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
  std::string host(key.substr(0, key.find('/')));
  return host == "index.docker.io" || host == "registry-1.docker.io" ? "docker.io" : host;
}

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Why `image` is no image reference, "" when it is one (the grammar of distribution/reference:
// [domain/]path[:tag][@digest], a first part with an upper-case letter, a dot or a colon being a
// domain).
std::string reference_error(std::string_view image) {
  constexpr std::string_view kBad = "invalid reference format";
  std::string_view name = image.substr(0, image.find('@'));
  size_t slash = name.rfind('/');
  size_t colon = name.rfind(':');
  if (colon != name.npos && (slash == name.npos || colon > slash)) {
    if (colon + 1 == name.size()) return std::string(kBad);
    name = name.substr(0, colon);
  }
  size_t first = name.find('/');
  std::string_view head = first == name.npos ? std::string_view() : name.substr(0, first);
  bool upper = std::any_of(head.begin(), head.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (head.find_first_of(".:") != head.npos || head == "localhost" || upper)
    name.remove_prefix(first + 1);
  if (std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
    return std::string(kBad) + ": repository name (" + std::string(name) + ") must be lowercase";
  for (size_t at = 0; at <= name.size();) {
    size_t end = std::min(name.find('/', at), name.size());
    std::string_view part = name.substr(at, end - at);
    bool ok = !part.empty() && is_lower_or_digit(part.front()) && is_lower_or_digit(part.back()) &&
              std::all_of(part.begin(), part.end(), [](char c) {
                return is_lower_or_digit(c) || c == '.' || c == '_' || c == '-';
              });
    if (!ok) return std::string(kBad);
    at = end + 1;
  }
  return "";
}

int percent_used(const std::string& path) {
  struct statvfs s;
  if (statvfs(path.c_str(), &s) != 0 || s.f_blocks == 0) return 0;
  return static_cast<int>(100 - s.f_bavail * 100 / s.f_blocks);
}

}  // namespace

Task<Result<std::string>> Images::pull(Context ctx, std::string image,
                                       std::vector<cri::ImageAuth> auths) {
  Status last;
  for (size_t i = 0; i < std::max<size_t>(auths.size(), 1); ++i) {
    std::optional<cri::ImageAuth> auth;
    if (i < auths.size()) auth = auths[i];
    auto r = co_await runtime_.pull_image(ctx, image, auth);
    if (r.ok()) co_return r;
    last = r.status();
  }
  co_return last;
}

Task<Images::Outcome> Images::ensure(Context ctx, std::string key, std::string image,
                                     std::string policy, std::vector<cri::ImageAuth> auths,
                                     Report report) {
  Outcome out;
  if (policy.empty()) {
    bool latest = image.ends_with(":latest") ||
                  (image.rfind(':') == std::string::npos && image.find('@') == std::string::npos);
    policy = latest ? "Always" : "IfNotPresent";
  }
  auto fail = [&](std::string reason, std::string message, std::string event_reason,
                  std::string event) {
    report("Warning", std::move(event_reason), std::move(event));
    report("Warning", "Failed", "Error: " + reason);
    out.waiting = {std::move(reason), std::move(message)};
  };
  if (std::string why = reference_error(image); !why.empty()) {
    std::string text = "Failed to apply default image tag \"" + image +
                       "\": couldn't parse image name \"" + image + "\": " + why;
    fail("InvalidImageName", text, "InspectFailed", text);
    co_return out;
  }
  auto present = co_await runtime_.image_status(ctx, image);
  if (!present.ok()) {
    std::string text = "Failed to inspect image \"" + image + "\": " + present.status().message();
    fail("ImageInspectError", text, "InspectFailed", text);
    co_return out;
  }
  if (present->has_value() && policy != "Always") {
    report("Normal", "Pulled", "Container image \"" + image + "\" already present on machine");
    out.image = **present;
    co_return out;
  }
  if (policy == "Never") {
    std::string text = "Container image \"" + image + "\" is not present with pull policy of Never";
    fail("ErrImageNeverPull", text, "ErrImageNeverPull", text);
    co_return out;
  }
  Loop& loop = ctx.loop();
  auto failures = backoff_.find(key);
  if (failures != backoff_.end() && failures->second.contains(image)) {
    const Failure& f = failures->second[image];
    if (f.backoff.waiting(f.at, loop.wall_now())) {
      out.retry_at = f.backoff.until(f.at);
      std::string text = "Back-off pulling image \"" + image + "\"";
      report("Normal", "BackOff", text);
      report("Warning", "Failed", "Error: ImagePullBackOff");
      out.waiting = {"ImagePullBackOff", text + ": " + f.message};
      co_return out;
    }
  }
  report("Normal", "Pulling", "Pulling image \"" + image + "\"");
  TimePoint began = loop.now();
  auto pulled = co_await pull(ctx, image, std::move(auths));
  if (!pulled.ok()) {
    if (ctx.done()) co_return out;
    Failure& f = backoff_[key][image];
    WallTime now = loop.wall_now();
    f.backoff.next(now, now);
    f.at = now;
    f.message = "ErrImagePull: " + pulled.status().message();
    out.retry_at = f.backoff.until(now);
    fail("ErrImagePull", pulled.status().message(), "Failed",
         "Failed to pull image \"" + image + "\": " + pulled.status().message());
    co_return out;
  }
  failures = backoff_.find(key);  // anew: forget() may have been called meanwhile
  if (failures != backoff_.end()) failures->second.erase(image);
  auto got = co_await runtime_.image_status(ctx, image);
  if (!got.ok() || !got->has_value()) {
    fail("ErrImagePull", "the image vanished after it was pulled", "Failed",
         "Failed to pull image \"" + image + "\": it vanished after it was pulled");
    co_return out;
  }
  out.image = **got;
  Duration took = (loop.now() - began) / 1'000'000 * 1'000'000;
  std::string t = format_duration(took);
  report("Normal", "Pulled",
         "Successfully pulled image \"" + image + "\" in " + t + " (" + t +
             " including waiting). Image size: " + std::to_string(out.image->size_bytes) +
             " bytes.");
  co_return out;
}

Task<Status> Images::collect_garbage(Context ctx, std::string root, int high, int low) {
  TRY_ASSIGN_CO(images, runtime_.list_images(ctx));
  WallTime now = ctx.loop().wall_now();
  std::map<std::string, WallTime> seen;
  for (const cri::Image& i : images)
    seen[i.id] = first_seen_.contains(i.id) ? first_seen_[i.id] : now;
  first_seen_ = seen;
  if (percent_used(root) < high) co_return Status();
  TRY_ASSIGN_CO(containers, runtime_.list_containers(ctx, ""));
  std::set<std::string> used;
  for (const cri::Container& c : containers) {
    used.insert(c.image_ref);
    used.insert(c.image);
    used.insert(c.image_id);
  }
  std::sort(images.begin(), images.end(),
            [&](const cri::Image& a, const cri::Image& b) { return seen[a.id] < seen[b.id]; });
  for (const cri::Image& i : images) {
    if (percent_used(root) < low) break;
    bool in_use = used.contains(i.id) || i.pinned;
    for (const std::string& t : i.tags) in_use = in_use || used.contains(t);
    for (const std::string& d : i.digests) in_use = in_use || used.contains(d);
    if (in_use || now - seen[i.id] < 2min) continue;
    Status s = co_await runtime_.remove_image(ctx, i.id);
    log::info("Removed an image to free space", {{"image", i.id}, {"status", s}});
  }
  co_return Status();
}

std::vector<cri::ImageAuth> auths_from_docker_config(std::string_view json,
                                                     std::string_view image) {
  std::vector<cri::ImageAuth> out;
  auto doc = parse_json(json);
  if (!doc.ok()) return out;
  const Value* auths = doc->root.find("auths");
  if (!auths) auths = &doc->root;  // the older dockercfg form
  std::string registry = registry_of(image);
  for (const Member& m : auths->members()) {
    if (normal_registry(m.key()) != registry) continue;
    cri::ImageAuth a;
    a.username = m.value["username"].as_string();
    a.password = m.value["password"].as_string();
    a.auth = m.value["auth"].as_string();
    a.identity_token = m.value["identitytoken"].as_string();
    a.server_address = m.key();
    out.push_back(std::move(a));
  }
  return out;
}

}  // namespace keles::node
