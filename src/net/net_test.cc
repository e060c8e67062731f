// Certificates, tokens, byte streams, UDP, SPDY and gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/file.h"
#include "base/process.h"
#include "base/sync.h"
#include "base/temporary_directory.h"
#include "net/address.h"
#include "net/grpc.h"
#include "net/http1.h"
#include "net/pki.h"
#include "net/spdy.h"
#include "net/stream.h"
#include "net/udp.h"

namespace keles::net {
namespace {

TEST(Addresses, EverySpellingBecomesAValueOrNothing) {
  struct Case {
    const char *text, *canonical;
    bool dialled;
  };
  const Case kCases[] = {
      {"10.0.0.1", "10.0.0.1", true},
      {"192.168.1.1", "192.168.1.1", true},
      {"172.18.0.2", "172.18.0.2", true},
      {"8.8.8.8", "8.8.8.8", true},
      {"fd00::1", "fd00::1", true},
      {"2001:DB8:0::1", "2001:db8::1", true},
      {"::ffff:10.0.0.1", "10.0.0.1", true},
      {"127.0.0.1", "127.0.0.1", false},
      {"127.255.0.1", "127.255.0.1", false},
      {"::ffff:127.0.0.1", "127.0.0.1", false},
      {"::ffff:7f00:1", "127.0.0.1", false},
      {"::ffff:a9fe:a9fe", "169.254.169.254", false},
      {"::1", "::1", false},
      {"::", "::", false},
      {"::127.0.0.1", "::7f00:1", false},
      {"0.0.0.0", "0.0.0.0", false},
      {"0.0.0.1", "0.0.0.1", false},
      {"169.254.169.254", "169.254.169.254", false},
      {"fe80::1", "fe80::1", false},
      {"febf::1", "febf::1", false},
      {"224.0.0.1", "224.0.0.1", false},
      {"239.1.1.1", "239.1.1.1", false},
      {"ff02::1", "ff02::1", false},
      {"255.255.255.255", "255.255.255.255", false},
  };
  for (const Case& c : kCases) {
    auto ip = IpAddress::parse(c.text);
    ASSERT_TRUE(ip.has_value()) << c.text;
    EXPECT_EQ(ip->text(), c.canonical) << c.text;
    EXPECT_EQ(may_relay_to(*ip), c.dialled) << c.text;
  }
  for (std::string text : {"127.1", "0x7f.1", "2130706433", "0177.0.0.1", "010.0.0.1", "1.2.3.4.5",
                           "1.2.3", "localhost", "", " 10.0.0.1", "10.0.0.1 ", "fe80::1%eth0",
                           "[::1]", "10.0.0.1:80", "unix:/x"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string("10.0.0.1\0x", 10)));
  for (const char* port : {"0", "65536", "99999", "-1", "+80", " 80", "80 ", "0x50", "", "http"}) {
    EXPECT_FALSE(parse_port(port)) << port;
  }
  EXPECT_EQ(parse_port("65535"), 65535);
  EXPECT_EQ(parse_port("1"), 1);
}

// Wherever it stands: long names are looked at eight characters at a time.
TEST(Http1, NamesAreOfTheCharactersOfATokenAlone) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                       (byte >= 'A' && byte <= 'Z');
    const bool good = plain || (c != 0 && kOthers.find(byte) != std::string_view::npos);
    for (size_t at = 0; at < 19; ++at) {
      std::string name = "X-Kubernetes-Uid-01";
      name[at] = byte;
      EXPECT_EQ(http1::valid_field(name, "1"), good) << c << " at " << at;
    }
  }
  EXPECT_FALSE(http1::valid_field("", "1"));
}

TEST(Pki, EncodesAndDigests) {
  EXPECT_EQ(base64_encode("a"), "YQ==");
  EXPECT_EQ(base64url_encode("\xff\xfe"), "__4");
  for (std::string s : {"", "a", "ab", "abc", "abcd"}) {
    EXPECT_EQ(*base64_decode(base64_encode(s)), s);
    EXPECT_EQ(*base64url_decode(base64url_encode(s)), s);
  }
  EXPECT_FALSE(base64_decode("a").ok());
  EXPECT_FALSE(base64_decode("YQ=*").ok());
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_NE(random_bytes(16), random_bytes(16));
}

TEST(Pki, MakesAndReadsCertificates) {
  WallTime from{1'700'000'000'000'000'000};
  auto ca = make_ca(
      CertificateSpec{.common_name = "kubernetes", .not_before = from, .not_after = from + 24h});
  ASSERT_TRUE(ca.ok());
  CertificateSpec spec{.common_name = "system:node:n1",
                       .organizations = {"system:nodes", "other"},
                       .dns_names = {"n1"},
                       .ip_addresses = {"10.0.0.1", "::1"},
                       .server = true,
                       .client = true,
                       .not_before = from,
                       .not_after = from + 1h};
  auto leaf = issue_certificate(*ca, spec);
  ASSERT_TRUE(leaf.ok()) << leaf.status().to_string();
  auto info = parse_certificate(leaf->certificate_pem);
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->common_name, "system:node:n1");
  EXPECT_THAT(info->organizations, testing::ElementsAre("system:nodes", "other"));
  EXPECT_THAT(info->ip_addresses, testing::ElementsAre("10.0.0.1", "::1"));
  EXPECT_EQ(info->not_after_unix, 1'700'003'600);
  EXPECT_FALSE(info->is_ca);
  EXPECT_TRUE(parse_certificate(ca->certificate_pem)->is_ca);
  auto csr = make_csr(leaf->key_pem, spec);
  ASSERT_TRUE(csr.ok());
  EXPECT_EQ(parse_csr(*csr)->dns_names, std::vector<std::string>{"n1"});
  CsrTerms terms{from, from - 5min, from + 1h, {"client auth", "digital signature"}};
  auto again = sign_csr(*ca, *csr, terms);
  ASSERT_TRUE(again.ok()) << again.status().to_string();
  EXPECT_EQ(parse_certificate(*again)->common_name, "system:node:n1");
  EXPECT_EQ(parse_certificate(*again)->not_before_unix, from.unix_seconds() - 300);
  EXPECT_FALSE(parse_certificate("nonsense").ok());
}

TEST(Pki, SignsRequestsWithinTheLifeOfTheCa) {
  WallTime now{1'700'000'000'000'000'000};
  auto ca = *make_ca(
      CertificateSpec{.common_name = "kubernetes", .not_before = now, .not_after = now + 24h});
  CertificateSpec spec;
  spec.common_name = "jane";
  spec.ip_addresses = {"10.0.0.1"};
  auto csr = *make_csr(*make_key(), spec);
  auto clamped = sign_csr(ca, csr, {now, now - 5min, now + 48h, {"client auth"}});
  ASSERT_TRUE(clamped.ok()) << clamped.status().to_string();
  EXPECT_EQ(parse_certificate(*clamped)->not_after_unix, (now + 24h).unix_seconds());
  EXPECT_THAT(parse_certificate(*clamped)->ip_addresses, testing::ElementsAre("10.0.0.1"));
  EXPECT_FALSE(sign_csr(ca, csr, {now + 24h, now, now + 48h, {"client auth"}}).ok());
  EXPECT_EQ(sign_csr(ca, csr, {now, now, now + 1h, {"client auth", "flying"}}).status().message(),
            "unrecognized usage values: [\"flying\"]");
  std::string changed = csr;
  changed[changed.find("\n") + 40] ^= 1;
  EXPECT_FALSE(sign_csr(ca, changed, {now, now, now + 1h, {"client auth"}}).ok());
}

TEST(Pki, SignsTokens) {
  for (auto algorithm : {SigningKey::Algorithm::kEs256, SigningKey::Algorithm::kRs256}) {
    auto key = SigningKey::generate(algorithm);
    ASSERT_TRUE(key.ok());
    auto other = *SigningKey::generate(SigningKey::Algorithm::kEs256);
    auto token = jwt_sign(**key, "{\"sub\":\"x\"}");
    ASSERT_TRUE(token.ok());
    auto only_public = *SigningKey::from_pem((*key)->public_pem());
    EXPECT_EQ(only_public->id(), (*key)->id());
    EXPECT_EQ(*jwt_verify({other, only_public}, *token), "{\"sub\":\"x\"}");
    EXPECT_FALSE(jwt_verify({other}, *token).ok());
    std::string changed = *token;
    changed[token->find('.') + 2] ^= 1;
    EXPECT_FALSE(jwt_verify({only_public}, changed).ok());
    EXPECT_EQ((*SigningKey::from_pem((*key)->private_pem()))->id(), (*key)->id());
    EXPECT_THAT(jwks({*key}), testing::HasSubstr((*key)->id()));
  }
  EXPECT_FALSE(jwt_verify({}, "eyJhbGciOiJub25lIn0.e30.").ok());
}

TEST(Pki, RefusesTokensWhoseHeaderAsksForMore) {
  auto key = *SigningKey::generate(SigningKey::Algorithm::kEs256);
  auto token = [&](std::string_view header) {
    std::string text = base64url_encode(header) + "." + base64url_encode("{}");
    return text + "." + base64url_encode(*key->sign(text));
  };
  for (const char* good :
       {R"({"alg":"ES256"})", R"({ "typ" : "JWT", "alg" : "ES256" })",
        R"({"alg":"ES256","x":{"crit":["a"],"alg":"none"},"y":["}",{"z":"\""}]})"}) {
    EXPECT_TRUE(jwt_verify({key}, token(good)).ok()) << good;
  }
  for (const char* bad :
       {R"({"alg":"ES256","crit":["exp"]})", R"({"crit":[],"alg":"ES256"})",
        R"({"cr\u0069t":["exp"],"alg":"ES256"})", R"({"alg":"RS256"})", R"({"alg":"none"})",
        R"({"x":"\"alg\":\"ES256\""})", R"({"alg":"ES256","alg":"none"})", R"({"alg":"ES256"} x)",
        R"(["alg":"ES256"])", R"({"alg":"ES256")", R"({"alg")", ""}) {
    EXPECT_FALSE(jwt_verify({key}, token(bad)).ok()) << bad;
  }
}

// Runs a test coroutine on a real loop.
void on_loop(Task<void> (*test)(Context ctx)) {
  auto loop = make_real_loop();
  auto body = [](RealLoop* loop, Task<void> (*test)(Context ctx)) -> Task<void> {
    co_await test(Context::root(*loop).with_timeout(20s));
    co_await Context::root(*loop).sleep(5ms);
    loop->stop();
  };
  spawn(*loop, body(loop.get(), test));
  loop->run();
}

Task<std::string> read_all(Context ctx, ByteStream* s) {
  std::string all;
  for (;;) {
    auto piece = co_await s->read(ctx);
    if (!piece.ok() || piece->empty()) co_return all;
    all += *piece;
  }
}

Task<void> echo_once(Context ctx, StreamListener* l) {
  auto s = co_await l->accept(ctx);
  if (!s.ok()) co_return;
  std::string all = co_await read_all(ctx, s->get());
  (void)co_await (*s)->write(ctx, "got " + std::to_string(all.size()));
}

Task<void> tcp_and_relay(Context ctx) {
  Loop& loop = ctx.loop();
  auto back = StreamListener::listen(loop, "127.0.0.1", 0);
  TemporaryDirectory own = *TemporaryDirectory::make();
  std::string dir = own.path(), socket = "unix:" + dir + "/s";
  auto front = StreamListener::listen(loop, socket, 0);
  EXPECT_TRUE(back.ok() && front.ok());
  if (!back.ok() || !front.ok()) co_return;
  TaskGroup group(loop);
  group.spawn(echo_once(ctx, back->get()));
  auto proxy = [](Context ctx, StreamListener* l, uint16_t port) -> Task<void> {
    auto in = co_await l->accept(ctx);
    auto out = co_await dial(ctx, "127.0.0.1", port);
    EXPECT_TRUE(in.ok() && out.ok());
    if (in.ok() && out.ok()) (void)co_await relay(ctx, in->get(), out->get());
  };
  group.spawn(proxy(ctx, front->get(), (*back)->port()));
  auto c = co_await dial(ctx, socket, 0);
  EXPECT_TRUE(c.ok()) << c.status().to_string();
  Status s = co_await (*c)->write(ctx, std::string(3'000'000, 'r'));
  EXPECT_TRUE(s.ok());
  s = co_await (*c)->shutdown_write(ctx);
  std::string answer = co_await read_all(ctx, c->get());
  EXPECT_EQ(answer, "got 3000000");
  co_await group.join();
  uint16_t port = (*back)->port();
  (*back)->close();
  auto refused = co_await dial(ctx, "127.0.0.1", port);
  EXPECT_THAT(refused.status().message(), testing::HasSubstr("connect: connection refused"));
  auto named = co_await dial(ctx, "localhost", port);
  EXPECT_FALSE(named.ok());
}
TEST(Stream, TcpUnixAndRelay) { on_loop(tcp_and_relay); }

Task<void> udp(Context ctx) {
  auto a = UdpSocket::bind(ctx.loop(), "127.0.0.1", 0);
  auto b = UdpSocket::bind(ctx.loop(), "127.0.0.1", 0);
  EXPECT_TRUE(a.ok() && b.ok());
  UdpAddress to{"127.0.0.1", (*b)->port()};
  Status s = co_await (*a)->send(ctx, "question", to);
  EXPECT_TRUE(s.ok());
  auto d = co_await (*b)->receive(ctx);
  EXPECT_EQ(d->data, "question");
  EXPECT_EQ(d->from.port, (*a)->port());
  auto none = co_await (*b)->receive(ctx.with_timeout(10ms));
  EXPECT_TRUE(none.status().is(Reason::kTimeout));
}
TEST(Udp, SendsAndReceives) { on_loop(udp); }

Task<void> spdy_server(Context ctx, std::unique_ptr<ByteStream> bytes) {
  auto session = SpdySession::create(ctx.loop(), std::move(bytes), true);
  for (;;) {
    auto s = co_await session->accept(ctx);
    if (!s.ok()) break;
    std::string type((*s)->headers().get("streamtype").value_or("?"));
    std::string all = co_await read_all(ctx, s->get());
    (void)co_await (*s)->write(ctx, type + ":" + all);
    (void)co_await (*s)->shutdown_write(ctx);
  }
}

Task<void> spdy(Context ctx) {
  auto l = StreamListener::listen(ctx.loop(), "127.0.0.1", 0);
  auto out = co_await dial(ctx, "127.0.0.1", (*l)->port());
  auto in = co_await (*l)->accept(ctx);
  EXPECT_TRUE(out.ok() && in.ok());
  TaskGroup group(ctx.loop());
  group.spawn(spdy_server(ctx, std::move(*in)));
  {
    auto session = SpdySession::create(ctx.loop(), std::move(*out), false);
    for (int i = 0; i < 5; ++i) {
      Headers headers{{"StreamType", "data" + std::to_string(i)}, {"port", "80"}};
      auto s = co_await session->open(ctx, headers);
      EXPECT_TRUE(s.ok()) << s.status().to_string();
      if (!s.ok()) break;
      std::string body(static_cast<size_t>(i) * 100'000, 's');
      Status sent = co_await (*s)->write(ctx, body);
      EXPECT_TRUE(sent.ok());
      sent = co_await (*s)->shutdown_write(ctx);
      std::string got = co_await read_all(ctx, s->get());
      EXPECT_EQ(got, "data" + std::to_string(i) + ":" + body);
    }
    Status pong = co_await session->ping(ctx);
    EXPECT_TRUE(pong.ok()) << pong.to_string();
  }
  co_await group.join();
}
TEST(Spdy, StreamsBothWays) { on_loop(spdy); }

TEST(Grpc, MapsCodes) {
  EXPECT_TRUE(status_from_grpc(0, "").ok());
  EXPECT_EQ(status_from_grpc(5, "no such container").message(),
            "rpc error: code = NotFound desc = no such container");
  EXPECT_TRUE(status_from_grpc(5, "").is(Reason::kNotFound));
  EXPECT_TRUE(status_from_grpc(12, "").is(Reason::kMethodNotAllowed));
}

// Against a containerd of our own, where there is one.
Task<void> containerd(Context ctx) {
  TemporaryDirectory own = *TemporaryDirectory::make();
  const std::string& dir = own.path();
  std::string socket = dir + "/c.sock";
  (void)write_file(dir + "/config.toml",
                   "version = 2\nroot = \"" + dir + "/root\"\nstate = \"" + dir +
                       "/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", "
                       "\"io.containerd.internal.v1.opt\"]\n"
                       "[grpc]\naddress = \"" +
                       socket + "\"\n");
  ProcessOptions o;
  o.argv = {"containerd", "--config", dir + "/config.toml"};
  o.output_file = dir + "/log";
  auto p = Process::start(ctx.loop(), o);
  EXPECT_TRUE(p.ok());
  if (!p.ok()) co_return;
  Endpoint e;
  e.host = "unix:" + socket;
  auto channel = GrpcChannel::create(ctx.loop(), e);
  Result<std::string> version = Status::unavailable("");
  for (int i = 0; i < 100 && !version.ok(); ++i) {
    version = co_await channel->unary(ctx, "/containerd.services.version.v1.Version/Version", "");
    if (!version.ok()) (void)co_await ctx.sleep(50ms);
  }
  EXPECT_TRUE(version.ok()) << version.status().to_string();
  auto missing = co_await channel->unary(ctx, "/containerd.services.version.v1.Version/Nope", "");
  EXPECT_TRUE(missing.status().is(Reason::kMethodNotAllowed)) << missing.status().to_string();
  auto events =
      co_await channel->server_stream(ctx, "/containerd.services.events.v1.Events/Subscribe", "");
  EXPECT_TRUE(events.ok());
  if (events.ok()) {
    auto none = co_await (*events)->next(ctx.with_timeout(50ms));
    EXPECT_TRUE(none.status().is(Reason::kTimeout)) << none.status().to_string();
    // ForwardRequest{envelope: {timestamp, namespace "t", topic "/t/x", event}}: it arrives.
    std::string forward = "\x0a\x12\x0a\x02\x08\x01\x12\x01t\x1a\x04/t/x\x22\x03\x0a\x01x";
    auto made =
        co_await channel->unary(ctx, "/containerd.services.events.v1.Events/Forward", forward);
    EXPECT_TRUE(made.ok()) << made.status().to_string();
    auto event = co_await (*events)->next(ctx);
    EXPECT_TRUE(event.ok()) << event.status().to_string();
    if (event.ok()) {
      EXPECT_THAT(*event, testing::HasSubstr("/t/x"));
    }
  }
  (*p)->signal(15);
  (void)co_await (*p)->wait(ctx);
  auto gone = co_await channel->unary(ctx, "/containerd.services.version.v1.Version/Version", "");
  EXPECT_FALSE(gone.ok());
}
TEST(Grpc, TalksToContainerd) {
  if (!path_exists("/usr/bin/containerd") || ::geteuid() != 0) GTEST_SKIP() << "no containerd";
  on_loop(containerd);
}

}  // namespace
}  // namespace keles::net
