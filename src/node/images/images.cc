#include "node/images/images.h"

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/time.h"
#include "node/eviction/meter.h"

namespace keles::node {

namespace {

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

// Where the node's own credentials lie.
std::vector<std::string> docker_configs(const std::string& root) {
  return {root + "/config.json", "/root/.docker/config.json", "/.docker/config.json"};
}
constexpr size_t kMaxDockerConfig = 1 << 20;

// Runtimes say by a prefix what kind of failure it was.
Waiting pull_failure(const std::string& image, const std::string& message) {
  struct Kind {
    std::string_view prefix, text;
  };
  constexpr Kind kKinds[] = {
      {"RegistryUnavailable", "the registry is unavailable"},
      {"SignatureValidationFailed", "the signature validation failed"},
  };
  for (const Kind& k : kKinds)
    if (message.starts_with(k.prefix))
      return {std::string(k.prefix), "image pull failed for " + image + " because " +
                                         std::string(k.text) + message.substr(k.prefix.size())};
  return {"ErrImagePull", message};
}

void count_removed(const char* reason) {
  static metrics::Counter& m = metrics::counter(
      "kubelet_image_garbage_collected_total",
      "Total number of images garbage collected by the kubelet, whether through disk usage or "
      "image age.",
      {"reason"});
  m.with({reason}).add();
}

// The runtime may have the image, or get it yet.
bool may_have_pulled(const Status& s) {
  for (Reason r :
       {Reason::kTimeout, Reason::kOutcomeUnknown, Reason::kCancelled, Reason::kUnavailable})
    if (s.is(r)) return true;
  return false;
}

Duration in_milliseconds(Duration d) { return d / 1'000'000 * 1'000'000; }

}  // namespace

Images::Images(ImageOptions options, cri::Runtime& runtime, Report node_event)
    : options_(std::move(options)),
      runtime_(runtime),
      node_event_(std::move(node_event)),
      records_(options_.root, options_.verification) {
  if (options_.parallel_pulls > 0)
    slots_ = std::make_unique<Semaphore>(static_cast<int>(options_.parallel_pulls));
}

Task<void> Images::start(Context ctx) {
  began_ = ctx.loop().wall_now();
  auto images = co_await runtime_.list_images(ctx.with_timeout(10s));
  std::optional<std::vector<cri::Image>> here;
  if (images.ok()) here = std::move(*images);
  // Nobody else uses the records and the keyring before this has ended.
  std::function<Status()> read = [this, here] {
    records_.load(here ? &*here : nullptr, began_);
    for (const std::string& path : docker_configs(options_.root)) {
      auto text = read_file(path, kMaxDockerConfig);
      if (text.ok()) node_keyring_.add(*text, {});
    }
    return Status();
  };
  (void)co_await run_blocking(&ctx.loop(), std::move(read));
}

Task<void> Images::keep(Context ctx, PullRecords::Job job) {
  if (options_.root.empty()) co_return;
  Status s = co_await run_blocking(&ctx.loop(), std::move(job));
  if (!s.ok()) log::warn("Cannot keep the record of a pull", {{"error", s}});
}

std::vector<RegistryCredential> Images::credentials_for(const Request& request) const {
  std::vector<RegistryCredential> out = request.secrets.lookup(request.image);
  std::vector<RegistryCredential> own = node_keyring_.lookup(request.image);
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

Task<void> Images::ask_programs(Context ctx, const Request* request,
                                std::vector<RegistryCredential>* credentials) {
  std::vector<RegistryCredential> more =
      co_await options_.providers->lookup(ctx, request->image, request->account);
  credentials->insert(credentials->end(), more.begin(), more.end());
}

// Waits for its turn.
Task<Result<Images::Pulled>> Images::pull(Context ctx, std::string image,
                                          std::vector<RegistryCredential> credentials) {
  if (slots_) TRY_CO(slots_->acquire(ctx));
  const TimePoint began = ctx.loop().now();
  auto r = co_await pull_in_turn(ctx, image, std::move(credentials));
  if (slots_) slots_->release();
  if (r.ok()) r->took = ctx.loop().now() - began;
  co_return r;
}

// Each credential after the other; none: an anonymous pull.
Task<Result<Images::Pulled>> Images::pull_in_turn(Context ctx, std::string image,
                                                  std::vector<RegistryCredential> credentials) {
  Status last;
  for (size_t i = 0; i < std::max<size_t>(credentials.size(), 1); ++i) {
    std::optional<cri::ImageAuth> auth;
    Pulled out;
    if (i < credentials.size()) {
      auth = credentials[i].auth;
      out.with = credentials[i];
    }
    auto r = co_await runtime_.pull_image(ctx, image, auth);
    if (r.ok()) {
      out.ref = *r;
      co_return out;
    }
    last = r.status();
    if (may_have_pulled(last)) co_return last;
  }
  co_return last;
}

Task<Images::Outcome> Images::ensure(Context ctx, Request request, Report report) {
  Outcome out;
  const std::string image = request.image, key = request.key;
  std::string policy = request.policy;
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
  std::vector<RegistryCredential> credentials = credentials_for(request);
  const bool here = present->has_value() && policy != "Always";
  bool must_ask = !here || records_.must_pull(image, (*present)->id, credentials);
  // Programs are asked once, and only when it depends on them: here when what others showed is
  // known, else before the pull.
  bool programs_asked = options_.providers == nullptr;
  if (here && must_ask && !programs_asked && records_.can_be_shown(image, (*present)->id)) {
    co_await ask_programs(ctx, &request, &credentials);
    programs_asked = true;
    must_ask = records_.must_pull(image, (*present)->id, credentials);
  }
  if (!must_ask) {
    PullRecords::Job learnt =
        records_.learn(image, (*present)->id, credentials, ctx.loop().wall_now());
    co_await keep(ctx, std::move(learnt));
    report("Normal", "Pulled",
           "Container image \"" + image +
               "\" already present on machine and can be accessed by the pod");
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
  if (!programs_asked) co_await ask_programs(ctx, &request, &credentials);
  report("Normal", "Pulling", "Pulling image \"" + image + "\"");
  TimePoint began = loop.now();
  PullRecords::Job job = records_.begin(image);
  co_await keep(ctx, std::move(job));
  auto pulled = co_await pull(ctx, image, std::move(credentials));
  if (!pulled.ok()) {
    // Otherwise the intent stays: whoever wants the image then shows that it may have it.
    const bool nothing = !ctx.done() && !may_have_pulled(pulled.status());
    if (nothing) {
      job = records_.failed(image);
      co_await keep(ctx, std::move(job));
    }
    if (ctx.done()) co_return out;
    Failure& f = backoff_[key][image];
    WallTime now = loop.wall_now();
    f.backoff.next(now, now);
    f.at = now;
    Waiting why = pull_failure(image, pulled.status().message());
    f.message = why.reason + ": " + why.message;
    out.retry_at = f.backoff.until(now);
    fail(why.reason, why.message, "Failed",
         "Failed to pull image \"" + image + "\": " + pulled.status().message());
    co_return out;
  }
  failures = backoff_.find(key);  // anew: forget() may have been called meanwhile
  if (failures != backoff_.end()) failures->second.erase(image);
  auto got = co_await runtime_.image_status(ctx, image);
  if (!got.ok()) {
    if (!pulled->ref.empty()) {  // else the intent stays
      job = records_.pulled(image, pulled->ref, pulled->with, loop.wall_now());
      co_await keep(ctx, std::move(job));
    }
    std::string text = "Failed to inspect image \"" + image + "\": " + got.status().message();
    fail("ImageInspectError", text, "InspectFailed", text);
    co_return out;
  }
  if (!got->has_value()) {
    job = records_.failed(image);
    co_await keep(ctx, std::move(job));
    fail("ErrImagePull", "the image vanished after it was pulled", "Failed",
         "Failed to pull image \"" + image + "\": it vanished after it was pulled");
    co_return out;
  }
  out.image = **got;
  job = records_.pulled(image, out.image->id, pulled->with, loop.wall_now());
  co_await keep(ctx, std::move(job));
  std::string whole = format_duration(in_milliseconds(loop.now() - began));
  report("Normal", "Pulled",
         "Successfully pulled image \"" + image + "\" in " +
             format_duration(in_milliseconds(pulled->took)) + " (" + whole +
             " including waiting). Image size: " + std::to_string(out.image->size_bytes) +
             " bytes.");
  co_return out;
}

// --- garbage ---

Task<Result<std::vector<ImageGarbage::Unused>>> Images::unused(Context ctx) {
  TRY_ASSIGN_CO(images, runtime_.list_images(ctx));
  TRY_ASSIGN_CO(containers, runtime_.list_containers(ctx, ""));
  std::set<std::string> used;
  for (const cri::Container& c : containers) used.insert({c.image_ref, c.image, c.image_id});
  co_return garbage_.look(images, used, ctx.loop().wall_now());
}

// Removes them in turn until that much is free; how much that was.
Task<int64_t> Images::free(Context ctx, std::vector<ImageGarbage::Unused> images, int64_t bytes,
                           const char* reason, Status* first_error) {
  int64_t freed = 0;
  for (const ImageGarbage::Unused& i : images) {
    if (freed >= bytes || ctx.done()) break;
    Status s = co_await runtime_.remove_image(ctx, i.id);
    log::info("Removed an image", {{"image", i.id}, {"reason", reason}, {"status", s}});
    if (!s.ok() && first_error->ok()) *first_error = s;
    if (!s.ok()) continue;
    freed += static_cast<int64_t>(i.size_bytes);
    count_removed(reason);
  }
  co_return freed;
}

Task<void> Images::forget_removed(Context ctx, WallTime began) {
  auto left = co_await runtime_.list_images(ctx);
  if (!left.ok()) co_return;
  std::vector<PullRecords::Job> jobs = records_.prune(*left, began);
  for (PullRecords::Job& job : jobs) co_await keep(ctx, std::move(job));
}

Task<Status> Images::collect_garbage(Context ctx) {
  const WallTime now = ctx.loop().wall_now();
  TRY_ASSIGN_CO(all, unused(ctx));
  std::vector<ImageGarbage::Unused> old, rest;
  for (const ImageGarbage::Unused& i : all) {
    bool gone = is_too_old(i, options_.gc, began_, now);
    if (gone) old.push_back(i);
    if (!gone && now - i.first_seen >= options_.gc.min_age) rest.push_back(i);
  }
  Status error;
  bool removed = !old.empty();
  (void)co_await free(ctx, std::move(old), INT64_MAX, "age", &error);
  if (file_system_.empty()) {
    TRY_ASSIGN_CO(info, runtime_.image_fs_info(ctx));
    file_system_ = info.images.empty() ? options_.root : info.images.front().mountpoint;
  }
  std::function<std::optional<FileSystem>()> look = [path = file_system_] {
    return stat_file_system(path);
  };
  auto fs = co_await run_blocking(&ctx.loop(), std::move(look));
  if (!fs || fs->capacity_bytes <= 0) {
    node_event_("Warning", "InvalidDiskCapacity", "invalid capacity 0 on image filesystem");
    co_return Status::internal("invalid capacity 0 on image filesystem");
  }
  const int64_t wanted = bytes_to_free(fs->capacity_bytes, fs->available_bytes, options_.gc);
  int64_t freed = 0;
  if (wanted > 0) freed = co_await free(ctx, std::move(rest), wanted, "space", &error);
  if (removed || freed > 0) co_await forget_removed(ctx, now);
  if (!error.ok() || freed >= wanted) co_return error;
  std::string why =
      "Insufficient free disk space on the node's image filesystem (" +
      std::to_string(percent_used(fs->capacity_bytes, fs->available_bytes)) + "% of " +
      size_text(fs->capacity_bytes) +
      " used). Failed to free sufficient space by deleting unused images (freed " +
      std::to_string(freed) +
      " bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or "
      "other data.";
  node_event_("Warning", "FreeDiskSpaceFailed", why);
  co_return Status::internal(why);
}

Task<Status> Images::delete_unused(Context ctx) {
  const WallTime now = ctx.loop().wall_now();
  TRY_ASSIGN_CO(all, unused(ctx));
  std::erase_if(
      all, [&](const ImageGarbage::Unused& i) { return now - i.first_seen < options_.gc.min_age; });
  Status error;
  (void)co_await free(ctx, std::move(all), INT64_MAX, "space", &error);
  co_await forget_removed(ctx, now);
  co_return error;
}

}  // namespace keles::node
