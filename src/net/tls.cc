// TLS over OpenSSL 3, TLS 1.2 and later, on non-blocking sockets.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>

#include "base/ip.h"
#include "base/sync.h"
#include "net/openssl.h"
#include "net/peer_details.h"
#include "net/pki.h"
#include "net/transport.h"

namespace keles::net {

class TlsContext {
 public:
  explicit TlsContext(SSL_CTX* c) : ctx(c) {}
  ~TlsContext() { SSL_CTX_free(ctx); }
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  SSL_CTX* ctx;
  bool insecure = false;
  std::string common_name;  // that the server must have; "" = any
};

namespace {

std::string openssl_error() {
  unsigned long e = ERR_get_error();
  ERR_clear_error();
  if (e == 0) return "unexpected end of the connection";
  const char* reason = ERR_reason_error_string(e);
  if (reason != nullptr) return reason;
  char text[256];
  ERR_error_string_n(e, text, sizeof text);
  return text;
}

int verify_slot() {
  static int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return slot;
}

// OpenSSL tells the outcome of a call by what is left in the thread's queue of errors, which is to
// be empty before. It nearly always is, and to look costs little where to clear costs much.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

// Lets every client certificate pass, and keeps the first error: an expired one is answered 401 by
// the layer above, which a refused handshake could not say.
int note_error(int ok, X509_STORE_CTX* store) {
  if (ok == 0) {
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* first = static_cast<long*>(SSL_get_ex_data(ssl, verify_slot()));
    if (first != nullptr && *first == X509_V_OK) *first = X509_STORE_CTX_get_error(store);
  }
  return 1;
}

std::string verify_text(long error) {
  switch (error) {
    case X509_V_OK:
      return "";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "x509: certificate has expired or is not yet valid";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "x509: certificate signed by unknown authority";
    case X509_V_ERR_INVALID_PURPOSE:
      return "x509: certificate specifies an incompatible key usage";
    default:
      return std::string("x509: ") + X509_verify_cert_error_string(error);
  }
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_length,
                    const unsigned char* in, unsigned in_length, void* http2) {
  static const unsigned char kBoth[] = "\x02h2\x08http/1.1";
  const unsigned char* mine = http2 != nullptr ? kBoth : kBoth + 3;
  unsigned mine_length = http2 != nullptr ? 12 : 9;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length, mine, mine_length, in, in_length) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Status use_identity(SSL_CTX* ctx, const TlsIdentity& id) {
  const openssl::Bio chain = openssl::reader(id.certificate_pem);
  const openssl::Certificate leaf = openssl::next_certificate(chain);
  if (!leaf) return Status::bad_request("tls: no certificate found: " + openssl_error());
  if (SSL_CTX_use_certificate(ctx, leaf.get()) != 1)
    return Status::bad_request("tls: certificate: " + openssl_error());
  while (openssl::Certificate more = openssl::next_certificate(chain)) {
    if (SSL_CTX_add0_chain_cert(ctx, more.get()) == 1) (void)more.release();
  }
  ERR_clear_error();
  const openssl::Key key = openssl::next_private_key(openssl::reader(id.key_pem));
  if (!key) return Status::bad_request("tls: no private key found: " + openssl_error());
  if (SSL_CTX_use_PrivateKey(ctx, key.get()) != 1)
    return Status::bad_request("tls: private key: " + openssl_error());
  return Status();
}

Status trust(SSL_CTX* ctx, const std::string& pem, bool announce) {
  const openssl::Bio bio = openssl::reader(pem);
  int found = 0;
  while (const openssl::Certificate ca = openssl::next_certificate(bio)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.get());
    if (announce) SSL_CTX_add_client_CA(ctx, ca.get());
    ++found;
  }
  ERR_clear_error();
  if (found == 0) return Status::bad_request("tls: no CA certificate found");
  return Status();
}

void common_options(SSL_CTX* ctx) {
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // The shorter key first: as strong as the certificates are, and a third cheaper for long answers.
  SSL_CTX_set_ciphersuites(
      ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
}

// The certificate at the end of the chain that was verified; "" when there was none.
std::string root_of(SSL* ssl) {
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl);
  const int n = chain == nullptr ? 0 : sk_X509_num(chain);
  if (n == 0) return "";
  unsigned char* der = nullptr;
  const int size = i2d_X509(sk_X509_value(chain, n - 1), &der);
  if (size <= 0) return "";
  std::string out = hex(sha256({reinterpret_cast<char*>(der), static_cast<size_t>(size)}));
  OPENSSL_free(der);
  return out;
}

std::shared_ptr<const PeerCertificate> peer_of(SSL* ssl) {
  const openssl::Certificate cert(SSL_get1_peer_certificate(ssl));
  if (!cert) return nullptr;
  const std::string pem = openssl::pem_of(cert.get());
  auto info = parse_certificate(pem);
  if (!info.ok()) return nullptr;
  PeerDetails details;
  details.uids = subject_uids(pem);
  details.root_sha256 = root_of(ssl);
  return with_details(PeerCertificate{info->common_name, info->organizations,
                                      info->fingerprint_sha256, info->not_after_unix},
                      std::move(details));
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(std::shared_ptr<Fd> fd, std::shared_ptr<TlsContext> tls)
      : Transport(std::move(fd)), tls_(std::move(tls)), ssl_(SSL_new(tls_->ctx)) {
    SSL_set_fd(ssl_, fd_->get());
  }
  ~TlsTransport() override {
    if (!fd_->closed() && handshaken_ && !failed_) {
      clear_errors();
      SSL_shutdown(ssl_);  // close_notify, as far as the socket takes it
    }
    SSL_free(ssl_);
  }

  ssize_t try_read(char* to, size_t n) override {
    if (fd_->closed() || failed_) return kFailed;
    size_t got = 0;
    clear_errors();
    int r = SSL_read_ex(ssl_, to, n, &got);
    if (r == 1) return static_cast<ssize_t>(got);
    int e = SSL_get_error(ssl_, r);
    if (e == SSL_ERROR_ZERO_RETURN) return kEndOfStream;
    return outcome(e, &read_wants_write_);
  }
  bool buffered() const override { return SSL_has_pending(ssl_) == 1; }

  // Small parts are gathered into one record; a large one is encrypted from where it lies.
  ssize_t try_write(const iovec* parts, int count) override {
    if (fd_->closed() || failed_) return kFailed;
    while (count > 0 && parts->iov_len == 0) {
      ++parts;
      --count;
    }
    if (count == 0) return 0;
    const char* from = static_cast<const char*>(parts->iov_base);
    size_t n = std::min(parts->iov_len, kTurnBytes);
    char gathered[kRecord];
    if (n < kRecord && count > 1) {
      size_t used = 0;
      for (int i = 0; i < count && used < kRecord; ++i) {
        size_t take = std::min(parts[i].iov_len, kRecord - used);
        memcpy(gathered + used, parts[i].iov_base, take);
        used += take;
      }
      from = gathered;
      n = used;
    }
    // OpenSSL writes record by record: of many, the kernel is to make few large segments.
    const bool many = n > 2 * kRecord;
    if (many) cork(1);
    ssize_t done = write_records(from, n);
    if (many) cork(0);
    return done;
  }

  Task<Status> wait_readable(const Context* ctx) override {
    if (read_wants_write_) {
      read_wants_write_ = false;
      return fd_->wait_writable(ctx);
    }
    return fd_->wait_readable(ctx);
  }

  void shutdown_write() override {
    if (fd_->closed() || failed_) return;
    clear_errors();
    SSL_shutdown(ssl_);
    clear_errors();
  }

  // 1 done, kWouldBlock, kFailed.
  ssize_t try_handshake(bool server, bool* wants_write) {
    clear_errors();
    int r = server ? SSL_accept(ssl_) : SSL_connect(ssl_);
    if (r == 1) {
      handshaken_ = true;
      return 1;
    }
    *wants_write = false;
    return outcome(SSL_get_error(ssl_, r), wants_write);
  }
  SSL* ssl() { return ssl_; }

 private:
  static constexpr size_t kRecord = 16384;
  // All that the socket takes: SSL_write ends after each record.
  ssize_t write_records(const char* from, size_t n) {
    size_t all = 0;
    while (all < n) {
      size_t put = 0;
      clear_errors();
      int r = SSL_write_ex(ssl_, from + all, n - all, &put);
      if (r != 1) {
        if (all > 0) break;  // said again by the next call
        bool ignored = false;
        return outcome(SSL_get_error(ssl_, r), &ignored);
      }
      all += put;
    }
    return static_cast<ssize_t>(all);
  }
  void cork(int on) { (void)setsockopt(fd_->get(), IPPROTO_TCP, TCP_CORK, &on, sizeof on); }
  ssize_t outcome(int e, bool* wants_write) {
    if (e == SSL_ERROR_WANT_READ) {
      *wants_write = false;
      return kWouldBlock;
    }
    if (e == SSL_ERROR_WANT_WRITE) {
      *wants_write = true;
      return kWouldBlock;
    }
    failed_ = true;
    error_ = e == SSL_ERROR_SYSCALL && errno != 0 ? strerror(errno) : openssl_error();
    ERR_clear_error();
    return kFailed;
  }
  std::shared_ptr<TlsContext> tls_;
  SSL* ssl_;
  bool handshaken_ = false, failed_ = false, read_wants_write_ = false;
};

Status client_failure(SSL* ssl, const std::string& error) {
  long v = SSL_get_verify_result(ssl);
  if (v == X509_V_OK) return Status::unavailable("tls: " + error);
  std::string why = verify_text(v);
  if (v == X509_V_ERR_HOSTNAME_MISMATCH || v == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    why = "x509: certificate is not valid for the server's name";
  }
  return Status::unavailable("tls: failed to verify certificate: " + why);
}

}  // namespace

Result<std::shared_ptr<TlsContext>> server_tls(const TlsIdentity& identity,
                                               const std::string& client_ca_pem, bool http2) {
  auto tls = std::make_shared<TlsContext>(SSL_CTX_new(TLS_server_method()));
  common_options(tls->ctx);
  TRY(use_identity(tls->ctx, identity));
  static char yes;
  SSL_CTX_set_alpn_select_cb(tls->ctx, choose_protocol, http2 ? &yes : nullptr);
  if (!client_ca_pem.empty()) {
    TRY(trust(tls->ctx, client_ca_pem, true));
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, note_error);
  }
  return tls;
}

Result<std::shared_ptr<TlsContext>> client_tls(const ClientTls& options, bool http2) {
  auto tls = std::make_shared<TlsContext>(SSL_CTX_new(TLS_client_method()));
  common_options(tls->ctx);
  tls->insecure = options.insecure;
  tls->common_name = options.common_name;
  if (options.identity) TRY(use_identity(tls->ctx, *options.identity));
  if (options.insecure) {
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_NONE, nullptr);
  } else {
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, nullptr);
    if (options.ca_pem.empty()) {
      SSL_CTX_set_default_verify_paths(tls->ctx);
    } else {
      TRY(trust(tls->ctx, options.ca_pem, false));
    }
  }
  static const unsigned char kBoth[] = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(tls->ctx, http2 ? kBoth : kBoth + 3, http2 ? 12 : 9);
  return tls;
}

namespace {

// Strangers' handshakes take turns on a loop, a step each: between two of them everything else that
// is ready runs, so that a crowd of them costs those who are connected no more than one does.
Semaphore& handshake_turn() {
  thread_local Semaphore one(1);
  return one;
}

}  // namespace

Task<Result<TlsConnection>> tls_handshake(std::shared_ptr<Fd> fd, std::shared_ptr<TlsContext> tls,
                                          bool server, std::string server_name,
                                          const Context* ctx) {
  auto t = std::make_shared<TlsTransport>(fd, tls);
  long first_error = X509_V_OK;
  SSL_set_ex_data(t->ssl(), verify_slot(), &first_error);
  if (!server) {
    const bool address = IpAddress::parse(server_name).has_value();
    if (!address) SSL_set_tlsext_host_name(t->ssl(), server_name.c_str());
    if (!tls->insecure) {
      X509_VERIFY_PARAM* p = SSL_get0_param(t->ssl());
      if (address) {
        X509_VERIFY_PARAM_set1_ip_asc(p, server_name.c_str());
      } else {
        SSL_set1_host(t->ssl(), server_name.c_str());
      }
    }
  }
  for (;;) {
    bool wants_write = false;
    if (server) {
      Status turn = co_await handshake_turn().acquire(*ctx);
      if (!turn.ok()) co_return turn.with_prefix("tls handshake");
    }
    ssize_t r = t->try_handshake(server, &wants_write);
    if (server) {
      co_await yield_to(ctx->loop());
      handshake_turn().release();
    }
    if (r == 1) break;
    if (r == kFailed) {
      if (server) co_return Status::unavailable("tls: " + t->error());
      co_return client_failure(t->ssl(), t->error());
    }
    Status s;
    if (wants_write) {
      s = co_await fd->wait_writable(ctx);
    } else {
      s = co_await fd->wait_readable(ctx);
    }
    if (!s.ok()) co_return s.with_prefix("tls handshake");
  }
  SSL_set_ex_data(t->ssl(), verify_slot(), nullptr);
  if (!server && !tls->common_name.empty()) {
    auto peer = peer_of(t->ssl());
    if (!peer || peer->common_name != tls->common_name) {
      co_return Status::unavailable(
          "tls: failed to verify certificate: x509: the certificate is \"" +
          (peer ? peer->common_name : std::string()) + "\", not \"" + tls->common_name + "\"");
    }
  }
  TlsConnection out;
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(t->ssl(), &protocol, &length);
  out.info.http2 = length == 2 && memcmp(protocol, "h2", 2) == 0;
  if (server) {
    out.info.peer = peer_of(t->ssl());
    out.info.error = verify_text(first_error);
    if (!out.info.error.empty()) out.info.peer.reset();
  }
  out.transport = std::move(t);
  co_return out;
}

}  // namespace keles::net
