#include "node/shutdown/logind.h"

#include <algorithm>
#include <utility>

#include "base/beneath.h"
#include "base/file.h"
#include "node/shutdown/system_bus.h"

namespace keles::node {
namespace {

constexpr const char* kLogind = "org.freedesktop.login1";
constexpr const char* kManager = "org.freedesktop.login1.Manager";
constexpr const char* kPath = "/org/freedesktop/login1";
constexpr Duration kAnswer = 25s;  // libdbus's own

class Logind final : public ShutdownNotice {
 public:
  Logind(std::string socket, std::string configuration)
      : socket_(std::move(socket)), configuration_(std::move(configuration)) {}

  Task<Status> connect(Context ctx) override { return connect_to(this, ctx); }
  Task<Result<Duration>> longest_delay(Context ctx) override { return delay(this, ctx); }
  Task<Status> extend_delay(Context ctx, Duration most) override { return extend(this, ctx, most); }
  Task<Status> hold(Context ctx) override { return inhibit(this, ctx); }
  void release() override { lock_.reset(); }
  Task<Result<bool>> next(Context ctx) override { return next_word(this, ctx); }

 private:
  static BusMessage to_bus(const char* member) {
    BusMessage m;
    m.destination = m.interface = "org.freedesktop.DBus";
    m.path = "/org/freedesktop/DBus";
    m.member = member;
    return m;
  }
  static BusMessage to_logind(const char* interface, const char* member) {
    BusMessage m;
    m.destination = kLogind;
    m.path = kPath;
    m.interface = interface;
    m.member = member;
    return m;
  }

  // Anybody on the bus may send signals: logind's are those of whoever has its name.
  static Task<Status> ask_owner(Logind* self, Context ctx) {
    BusMessage ask = to_bus("GetNameOwner");
    ask.signature = "s";
    ask.body = BusWriter().text(kLogind).take();
    auto got = co_await self->bus_->call(ctx, std::move(ask));
    if (!got.ok()) co_return got.status();
    BusReader in(got->message.body, got->message.big_endian);
    self->owner_ = got->message.signature == "s" ? in.text() : std::string_view();
    co_return self->owner_.empty() ? Status::unavailable("nobody on the bus is logind") : Status();
  }

  static Task<Status> connect_to(Logind* self, Context ctx) {
    self->lock_.reset();
    self->bus_.reset();
    Context brief = ctx.with_timeout(kAnswer);
    auto bus = co_await SystemBus::connect(brief, self->socket_);
    if (!bus.ok()) co_return bus.status();
    self->bus_ = std::move(*bus);
    BusMessage match = to_bus("AddMatch");
    match.signature = "s";
    match.body = BusWriter()
                     .text(std::string("type='signal',interface='") + kManager +
                           "',member='PrepareForShutdown',path='" + kPath + "'")
                     .take();
    auto added = co_await self->bus_->call(brief, std::move(match));
    if (!added.ok()) co_return added.status();
    // Called first, so that the bus starts it where it is started on demand.
    auto there = co_await delay(self, ctx);
    if (!there.ok()) co_return there.status();
    co_return co_await ask_owner(self, brief);
  }

  static Task<Result<Duration>> delay(Logind* self, Context ctx) {
    BusMessage get = to_logind("org.freedesktop.DBus.Properties", "Get");
    get.signature = "ss";
    get.body = BusWriter().text(kManager).text("InhibitDelayMaxUSec").take();
    Context brief = ctx.with_timeout(kAnswer);
    auto got = co_await self->bus_->call(brief, std::move(get));
    if (!got.ok())
      co_return Status::unavailable("failed reading InhibitDelayMaxUSec property from logind: " +
                                    got.status().message());
    BusReader in(got->message.body, got->message.big_endian);
    const bool number = got->message.signature == "v" && in.signature() == "t";
    const uint64_t microseconds = in.u64();
    if (!number || in.failed())
      co_return Status::unavailable("InhibitDelayMaxUSec from logind is not a uint64 as expected");
    constexpr uint64_t kMost = INT64_MAX / 1000;
    co_return Duration(static_cast<int64_t>(std::min(microseconds, kMost)) * 1000);
  }

  // A file of its own among logind's, which reads them again when it is told to.
  static Task<Status> extend(Logind* self, Context ctx, Duration most) {
    std::function<Status()> write = [self, most]() -> Status {
      TRY(make_directories(self->configuration_));
      const int64_t seconds = most.count() / 1'000'000'000;
      return write_file(self->configuration_ + "/99-kubelet.conf",
                        "# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=" +
                            std::to_string(seconds) + "\n");
    };
    TRY_CO(run_blocking(&ctx.loop(), std::move(write)));
    BusMessage kill;
    kill.destination = "org.freedesktop.systemd1";
    kill.path = "/org/freedesktop/systemd1";
    kill.interface = "org.freedesktop.systemd1.Manager";
    kill.member = "KillUnit";
    kill.signature = "ssi";
    kill.body = BusWriter().text("systemd-logind.service").text("all").number(1).take();  // SIGHUP
    Context brief = ctx.with_timeout(kAnswer);
    auto told = co_await self->bus_->call(brief, std::move(kill));
    if (!told.ok())
      co_return Status::unavailable("unable to reload logind conf: " + told.status().message());
    co_return Status();
  }

  static Task<Status> inhibit(Logind* self, Context ctx) {
    BusMessage ask = to_logind(kManager, "Inhibit");
    ask.signature = "ssss";
    ask.body = BusWriter()
                   .text("shutdown")
                   .text("kubelet")
                   .text("Kubelet needs time to handle node shutdown")
                   .text("delay")
                   .take();
    Context brief = ctx.with_timeout(kAnswer);
    auto got = co_await self->bus_->call(brief, std::move(ask));
    if (!got.ok())
      co_return Status::unavailable("failed creating systemd inhibitor: " + got.status().message());
    if (!got->descriptor.open())
      co_return Status::unavailable("failed storing inhibit lock file descriptor: none came");
    self->lock_ = std::move(got->descriptor);
    co_return Status();
  }

  static Task<Result<bool>> next_word(Logind* self, Context ctx) {
    for (;;) {
      auto got = co_await self->bus_->next_signal(ctx);
      if (!got.ok()) co_return got.status();
      if (got->member != "PrepareForShutdown" || got->interface != kManager ||
          got->signature != "b")
        continue;
      if (got->sender != self->owner_) {
        Status known = co_await ask_owner(self, ctx.with_timeout(kAnswer));  // it was started anew
        if (!known.ok()) co_return known;
        if (got->sender != self->owner_) continue;
      }
      BusReader in(got->body, got->big_endian);
      const bool down = in.u32() != 0;
      if (!in.failed()) co_return down;
    }
  }

  std::string socket_, configuration_;
  std::string owner_;  // logind's name on the bus, ":1.5"
  std::unique_ptr<SystemBus> bus_;
  keles::Fd lock_;
};

}  // namespace

std::unique_ptr<ShutdownNotice> make_logind(std::string socket, std::string configuration) {
  return std::make_unique<Logind>(std::move(socket), std::move(configuration));
}

}  // namespace keles::node
