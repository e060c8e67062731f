#include "node/plugins/plugin_registry.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "api/pluginregistration_v1.h"
#include "base/file.h"
#include "base/log.h"
#include "net/transport.h"
#include "node/plugins/plugin_call.h"

namespace keles::node {

namespace v1 = api::pluginregistration_v1;

namespace {

constexpr const char* kService = "/pluginregistration.Registration/";
constexpr Duration kAskTimeout = 10s, kTellTimeout = 5s;
constexpr Duration kFirstPause = 500ms, kLastPause = 2min;
constexpr size_t kMostSockets = 256, kMostDirectories = 256, kMostNames = 4096;
constexpr int kMostDepth = 8;
constexpr size_t kMostInfo = 64 * 1024, kMostText = 253, kMostPath = 4096, kMostVersions = 64;

}  // namespace

struct PluginRegistry::Watched {
  std::string path;
  Fd fd;               // of the socket that is there now: as long as it is held its number
  ino_t inode = 0;     // is no other's
  bool gone = false;   // nothing is there any more
  bool fresh = false;  // another one is there than the one that was taken
  Event changed;
};

// The sockets below the directory as they are now, and word of every change. Every directory is
// watched before it is listed: what comes meanwhile is told.
class PluginRegistry::Watch {
 public:
  explicit Watch(Loop& loop) : loop_(loop) {}

  struct Found {
    std::string path;
    Fd fd;
    ino_t inode = 0;
  };
  Status start(const std::string& directory) {
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) return Status::internal(std::string("inotify_init1: ") + std::strerror(errno));
    fd_ = net::Fd::adopt(loop_, fd);
    directory_ = directory;
    return {};
  }
  std::vector<Found> list() {
    std::vector<Found> out;
    std::set<std::string> seen;
    auto root = open_directory(directory_);
    if (root.ok()) list_in(*root, directory_, 0, &seen, &out);
    for (auto it = watches_.begin(); it != watches_.end();) {
      if (seen.contains(it->first)) {
        ++it;
        continue;
      }
      (void)::inotify_rm_watch(fd_->get(), it->second);
      names_.erase(it->second);
      it = watches_.erase(it);
    }
    return out;
  }
  // Waits until something changed.
  Task<Status> next(Context ctx) {
    Status s = co_await fd_->wait_readable(&ctx);
    if (!s.ok()) co_return s;
    alignas(inotify_event) char buffer[16 * 1024];
    ssize_t n = 0;
    while ((n = ::read(fd_->get(), buffer, sizeof buffer)) > 0) {
      for (const char* p = buffer; p < buffer + n;) {
        const auto* e = reinterpret_cast<const inotify_event*>(p);
        p += sizeof(inotify_event) + e->len;
        if ((e->mask & IN_IGNORED) != 0) forget(e->wd);
      }
    }
    co_return Status();
  }
  void close() {
    if (fd_) fd_->close(Status::cancelled());
  }

 private:
  void forget(int wd) {
    auto it = names_.find(wd);
    if (it == names_.end()) return;
    watches_.erase(it->second);
    names_.erase(it);
  }
  void list_in(const Fd& dir, const std::string& path, int depth, std::set<std::string>* seen,
               std::vector<Found>* out) {
    if (depth > kMostDepth || seen->size() >= kMostDirectories) return;
    constexpr uint32_t kMask = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
    const int wd = ::inotify_add_watch(fd_->get(), dir.proc_path().c_str(), kMask);
    if (wd < 0) {
      log::warn("Cannot watch a directory of plug-ins", {{"path", path}});
      return;
    }
    seen->insert(path);
    watches_[path] = wd;
    names_[wd] = path;
    auto names = list_directory(dir);
    if (!names.ok()) return;
    if (names->size() > kMostNames) names->resize(kMostNames);
    for (const std::string& name : *names) {
      if (name.starts_with('.')) continue;
      Fd fd(::openat(dir.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      struct stat st {};
      if (!fd.open() || ::fstat(fd.get(), &st) != 0) continue;
      const std::string at = path + "/" + name;
      if (S_ISDIR(st.st_mode)) {
        Fd below(
            ::openat(dir.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (below.open()) list_in(below, at, depth + 1, seen, out);
      } else if (S_ISSOCK(st.st_mode) && out->size() < kMostSockets) {
        out->push_back({at, std::move(fd), st.st_ino});
      }
    }
  }

  Loop& loop_;
  std::string directory_;
  std::shared_ptr<net::Fd> fd_;
  std::map<std::string, int> watches_;
  std::map<int, std::string> names_;
};

Result<PluginInfo> read_plugin_info(std::string_view message, const std::string& socket) {
  if (message.size() > kMostInfo) return Status(Reason::kInvalid, "the answer is too long");
  TRY_ASSIGN(doc, decode_protobuf(v1::PluginInfo::descriptor(), message));
  const v1::PluginInfo info(doc.root);
  if (info.type().size() > kMostText || info.name().size() > kMostText ||
      info.endpoint().size() > kMostPath || info.supported_versions().size() > kMostVersions)
    return Status(Reason::kInvalid, "the answer holds more than a plug-in has to say");
  PluginInfo out;
  out.type = info.type();
  out.name = info.name();
  out.endpoint = info.endpoint();
  out.socket = socket;
  if (out.endpoint.empty()) out.endpoint = socket;
  for (std::string_view v : info.supported_versions()) {
    if (v.size() > kMostText) return Status(Reason::kInvalid, "a version is too long");
    out.versions.emplace_back(v);
  }
  return out;
}

PluginRegistry::PluginRegistry(Loop& loop, std::string directory)
    : directory_(std::move(directory)), watch_(std::make_unique<Watch>(loop)), tasks_(loop) {}
PluginRegistry::~PluginRegistry() = default;

Task<Status> PluginRegistry::run(Context ctx) {
  Status s = make_directories(directory_, 0750);
  if (s.ok()) s = watch_->start(directory_);
  if (!s.ok()) co_return s;
  while (!ctx.done()) {
    look(ctx);
    s = co_await watch_->next(ctx);
    if (!s.ok() && !ctx.done()) {
      log::warn("Cannot watch for plug-ins", {{"error", s}});
      break;
    }
  }
  co_await tasks_.join();
  watch_->close();
  co_return s;
}

void PluginRegistry::look(Context ctx) {
  std::set<std::string> there;
  for (Watch::Found& found : watch_->list()) {
    there.insert(found.path);
    std::shared_ptr<Watched>& w = sockets_[found.path];
    const bool known = static_cast<bool>(w);
    if (known && !w->gone && w->inode == found.inode) continue;
    if (!known) {
      w = std::make_shared<Watched>();
      w->path = found.path;
    }
    w->fd = std::move(found.fd);
    w->inode = found.inode;
    w->gone = false;
    w->fresh = known;
    w->changed.set();
    if (!known) tasks_.spawn(follow(this, ctx, w));
  }
  for (auto& [path, w] : sockets_) {
    if (there.contains(path) || w->gone) continue;
    w->gone = true;
    w->changed.set();
  }
}

Task<void> PluginRegistry::follow(PluginRegistry* self, Context ctx, std::shared_ptr<Watched> w) {
  while (!ctx.done() && !w->gone) {
    // Taken, or tried until it is or goes.
    Duration pause = kFirstPause;
    PluginInfo info;
    bool taken = false;
    w->fresh = false;
    w->changed.reset();
    while (!ctx.done() && !w->gone && !taken) {
      Status s = co_await self->ask(ctx, w, &info);
      if (s.ok()) {
        PluginHandler* handler = self->handlers_[info.type];
        s = co_await handler->add(ctx, info);
        std::string why;
        if (!s.ok())
          why = "RegisterPlugin error -- plugin registration failed with err: " + s.message();
        Status told = co_await self->tell(ctx, w, s.ok(), why);
        taken = s.ok() && told.ok();
        if (s.ok() && !told.ok()) co_await handler->remove(ctx, info);
        if (s.ok()) s = told;
      }
      if (taken || ctx.done()) break;
      log::warn("A plug-in was not registered", {{"socket", w->path}, {"error", s}});
      Context brief = ctx.with_timeout(pause);
      Status changed = co_await w->changed.wait(brief);
      pause = changed.ok() ? kFirstPause : std::min<Duration>(pause * 2, kLastPause);
      w->changed.reset();
    }
    if (!taken) continue;
    log::info("Plug-in registered", {{"type", info.type}, {"name", info.name}});
    while (!ctx.done() && !w->gone && !w->fresh) {
      (void)co_await w->changed.wait(ctx);
      w->changed.reset();
    }
    if (ctx.done()) co_return;
    co_await self->handlers_[info.type]->remove(ctx, info);
    log::info("Plug-in gone", {{"type", info.type}, {"name", info.name}});
  }
  auto it = self->sockets_.find(w->path);
  if (it != self->sockets_.end() && it->second == w) self->sockets_.erase(it);
}

Task<Status> PluginRegistry::ask(Context ctx, std::shared_ptr<Watched> w, PluginInfo* out) {
  const std::string at = " at socket " + w->path;
  // The socket is there before anybody listens on it: refused, it is soon asked again.
  Context limit = ctx.with_timeout(kAskTimeout);
  Fd fd(::fcntl(w->fd.get(), F_DUPFD_CLOEXEC, 0));
  auto got = co_await plugin_call(limit, &fd, std::string(kService) + "GetInfo", "", kMostInfo);
  if (!got.ok()) {
    co_return got.status().with_prefix(
        "RegisterPlugin error -- failed to get plugin info using RPC GetInfo" + at + ", err");
  }
  auto info = read_plugin_info(*got, w->path);
  if (!info.ok()) co_return info.status().with_prefix("RegisterPlugin error --" + at);
  auto handler = handlers_.find(info->type);
  std::string refused;
  if (handler == handlers_.end()) {
    refused = "RegisterPlugin error -- no handler registered for plugin type: " + info->type + at;
  } else {
    Status s = handler->second->validate(*info);
    if (!s.ok())
      refused = "RegisterPlugin error -- plugin validation failed with err: " + s.message();
  }
  *out = *info;
  if (refused.empty()) co_return Status();
  Status told = co_await tell(ctx, w, false, refused);
  (void)told;
  co_return Status(Reason::kInvalid, refused);
}

Task<Status> PluginRegistry::tell(Context ctx, std::shared_ptr<Watched> w, bool registered,
                                  std::string error) {
  Draft<v1::RegistrationStatusEdit> status;
  if (registered) status->set_plugin_registered(true);
  if (!error.empty()) status->set_error(error);
  std::string message = encode_protobuf(v1::RegistrationStatus::descriptor(), status.value());
  Context limit = ctx.with_timeout(kTellTimeout);
  Fd fd(::fcntl(w->fd.get(), F_DUPFD_CLOEXEC, 0));
  auto got = co_await plugin_call(limit, &fd, std::string(kService) + "NotifyRegistrationStatus",
                                  std::move(message), kMostInfo);
  if (got.ok()) co_return Status();
  co_return got.status().with_prefix(
      "RegisterPlugin error -- failed to send registration status at socket " + w->path + ", err");
}

}  // namespace keles::node
