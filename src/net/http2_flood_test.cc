// Attacks that are made of HTTP/2's own frames (CVE-2019-9512, -9514, -9515, CVE-2023-44487,
// CVE-2024-28182): the connection ends, or what was asked is refused, within a bound; others are
// served.
#include <gtest/gtest.h>

#include <string>

#include "base/loop.h"
#include "base/sync.h"
#include "net/http.h"
#include "net/pki.h"
#include "net/transport.h"

namespace keles::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : char { kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kContinuation = 9 };
constexpr char kEndStream = 1, kEndHeaders = 4;

std::string number(uint32_t n, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(n >> (8 * i));
  return out;
}
std::string frame(Type type, char flags, uint32_t stream, std::string_view payload) {
  std::string out = number(static_cast<uint32_t>(payload.size()), 3);
  out += static_cast<char>(type);
  out += flags;
  return out.append(number(stream, 4)).append(payload);
}
// GET https://x/, by the static table.
std::string get_head() { return std::string("\x82\x87\x84\x41\x01x", 6); }

struct Siege : testing::Test {
  Siege() : loop(make_real_loop()) {
    const WallTime now = loop->wall_now();
    CertificateSpec spec{.common_name = "ca", .not_before = now - 1h, .not_after = now + 1h};
    ca = *make_ca(spec);
    spec.common_name = "server";
    spec.server = true;
    spec.ip_addresses = {"127.0.0.1"};
    ServerOptions options;
    options.tls = *issue_certificate(ca, spec);
    server = *Server::start({loop.get()}, options,
                            [this](Context, Request*, Responder* r) { return answer(r); });
  }
  Task<void> answer(Responder* r) {
    ++served;
    (void)co_await r->respond(200, Headers(), as_body("fine"));
  }
  ClientTls tls() const {
    ClientTls out;
    out.ca_pem = ca.certificate_pem;
    return out;
  }
  void run(Task<void> (*test)(Siege*, Context)) {
    spawn(*loop, body(this, test));
    loop->run();
  }
  static Task<void> body(Siege* s, Task<void> (*test)(Siege*, Context)) {
    Context root = Context::root(*s->loop);
    co_await test(s, root.with_timeout(60s));
    co_await others_are_served(s, root.with_timeout(10s));
    co_await s->server->stop(root);
    s->loop->stop();
  }
  static Task<void> others_are_served(Siege* s, Context ctx) {
    Endpoint e;
    e.host = "127.0.0.1";
    e.port = s->server->port();
    e.tls = s->tls();
    auto client = HttpClient::create(*s->loop, e);
    Request q("GET", "/");
    auto got = co_await client->send(ctx, std::move(q), 1000);
    EXPECT_TRUE(got.ok() && got->body == "fine");
  }

  std::unique_ptr<RealLoop> loop;
  TlsIdentity ca;
  std::unique_ptr<Server> server;
  int served = 0;
};

// A connection of which we say every byte. Its first stream has had an answer.
struct Raw {
  TransportPtr transport;
  std::string read;  // all that came

  static Task<Result<Raw>> open(Siege* s, Context ctx) {
    TRY_ASSIGN_CO(fd, connect_socket(ctx, "127.0.0.1", s->server->port(), -1));
    auto context = client_tls(s->tls(), true);
    if (!context.ok()) co_return context.status();
    TRY_ASSIGN_CO(c, tls_handshake(fd, *context, false, "127.0.0.1", &ctx));
    EXPECT_TRUE(c.info.http2);
    Raw out;
    out.transport = c.transport;
    std::string hello = std::string(kPreface) + frame(kSettings, 0, 0, "");
    Status sent = co_await write_all(out.transport.get(), &ctx, std::move(hello));
    if (!sent.ok()) co_return sent;
    // That the server understands what we say: else it would end each attack for want of sense.
    std::string plain = frame(kHeaders, kEndStream | kEndHeaders, 1, get_head());
    sent = co_await write_all(out.transport.get(), &ctx, std::move(plain));
    while (sent.ok() && out.drain() && out.read.find("fine") == std::string::npos) {
      sent = co_await out.transport->wait_readable(&ctx);
    }
    EXPECT_EQ(s->served, 1);
    s->served = 0;
    co_return out;
  }
  // Takes what is there; false when the peer has ended.
  bool drain() {
    char buffer[16384];
    for (;;) {
      const ssize_t n = transport->try_read(buffer, sizeof buffer);
      if (n == kWouldBlock) return true;
      if (n <= 0) return false;
      read.append(buffer, static_cast<size_t>(n));
    }
  }
  // Until the peer ends it, or ctx does.
  Task<bool> ended(Context ctx) {
    while (drain()) {
      Status s = co_await transport->wait_readable(&ctx);
      if (!s.ok()) co_return !ctx.done();
    }
    co_return true;
  }
};

// Sends `once` again and again until the server has had enough; how often.
Task<int> besiege(Context ctx, Raw* raw, std::function<std::string(int)> once, int most,
                  bool reading) {
  for (int i = 0; i < most; ++i) {
    if (reading && !raw->drain()) co_return i;
    std::string next = once(i);
    Context soon = ctx.with_timeout(5s);
    Status s = co_await write_all(raw->transport.get(), &soon, std::move(next));
    if (!s.ok()) co_return i;
  }
  co_return most;
}

Task<void> rapid_reset(Siege* s, Context ctx) {
  auto raw = co_await Raw::open(s, ctx);
  EXPECT_TRUE(raw.ok());
  if (!raw.ok()) co_return;
  constexpr int kEach = 50, kMost = 2000;  // 100,000 streams
  auto once = [](int i) {
    std::string out;
    for (int j = 0; j < kEach; ++j) {
      const uint32_t stream = static_cast<uint32_t>(i * kEach + j) * 2 + 3;
      out += frame(kHeaders, kEndStream | kEndHeaders, stream, get_head());
      out += frame(kReset, 0, stream, number(8, 4));
    }
    return out;
  };
  std::function<std::string(int)> attack = once;
  (void)co_await besiege(ctx, &*raw, attack, kMost, true);
  bool over = co_await raw->ended(ctx.with_timeout(10s));
  EXPECT_TRUE(over) << "the connection is ended, though the client would go on";
  EXPECT_LE(s->served, 5000) << "of 100,000 that were asked for";
}
TEST_F(Siege, StreamsThatAreResetAtOnce) { run(rapid_reset); }

Task<void> continuations(Siege* s, Context ctx) {
  auto raw = co_await Raw::open(s, ctx);
  EXPECT_TRUE(raw.ok());
  if (!raw.ok()) co_return;
  std::string head = frame(kHeaders, kEndStream, 3, get_head());
  Status begun = co_await write_all(raw->transport.get(), &ctx, std::move(head));
  EXPECT_TRUE(begun.ok());
  // A field that nobody keeps, over and over: x: y, not to be indexed.
  std::function<std::string(int)> attack = [](int) {
    std::string out;
    for (int i = 0; i < 100; ++i) {
      out += frame(kContinuation, 0, 3, std::string("\x00\x01x\x01y", 5));
    }
    return out;
  };
  constexpr int kMost = 10'000;
  const int rounds = co_await besiege(ctx, &*raw, attack, kMost, true);
  bool over = co_await raw->ended(ctx.with_timeout(10s));
  EXPECT_TRUE(over);
  EXPECT_LT(rounds, kMost);
  EXPECT_EQ(s->served, 0);
}
TEST_F(Siege, AHeadThatDoesNotEnd) { run(continuations); }

template <Type type>
Task<void> acknowledgements(Siege* s, Context ctx) {
  auto raw = co_await Raw::open(s, ctx);
  EXPECT_TRUE(raw.ok());
  if (!raw.ok()) co_return;
  std::function<std::string(int)> attack = [](int) {
    std::string out;
    for (int i = 0; i < 1000; ++i) {
      out += frame(type, 0, 0, type == kPing ? std::string(8, 'p') : std::string());
    }
    return out;
  };
  constexpr int kMost = 20'000;  // nothing of what is answered is read meanwhile
  const int rounds = co_await besiege(ctx, &*raw, attack, kMost, false);
  EXPECT_LT(rounds, kMost) << "answers are not kept without end";
}
TEST_F(Siege, PingsWhoseAnswersNobodyReads) { run(acknowledgements<kPing>); }
TEST_F(Siege, SettingsWhoseAnswersNobodyReads) { run(acknowledgements<kSettings>); }

// Four thousand bytes into the table, and then a reference to them for each byte of a head.
Task<void> header_bomb(Siege* s, Context ctx) {
  auto raw = co_await Raw::open(s, ctx);
  EXPECT_TRUE(raw.ok());
  if (!raw.ok()) co_return;
  std::string large("\x40\x01z\x7f", 4);  // literal, indexed; a length of 127 + ...
  large += static_cast<char>(0x80 | ((3900 - 127) & 0x7f));
  large += static_cast<char>((3900 - 127) >> 7);
  large += std::string(3900, 'v');
  std::string attack = frame(kHeaders, kEndStream | kEndHeaders, 3, get_head() + large);
  for (uint32_t stream = 5; stream < 25; stream += 2) {
    attack +=
        frame(kHeaders, kEndStream | kEndHeaders, stream, get_head() + std::string(16'000, '\xbe'));
  }
  attack += frame(kHeaders, kEndStream | kEndHeaders, 25, get_head());
  Status sent = co_await write_all(raw->transport.get(), &ctx, std::move(attack));
  EXPECT_TRUE(sent.ok());
  (void)co_await raw->ended(ctx.with_timeout(2s));
  EXPECT_GE(s->served, 1) << "the first";
  EXPECT_LE(s->served, 2) << "the first and the last";
}
TEST_F(Siege, AHeadThatUnpacksToMuch) { run(header_bomb); }

}  // namespace
}  // namespace keles::net
