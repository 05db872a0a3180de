package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/tikv/client-go/v2/config"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// secureFlag is the variable that makes clusters encrypt their connections, and clients use TLS.
const secureFlag = "RUTILE_TEST_TLS"

// secure makes an authority and certificates for nodes and clients, has clients use theirs, and
// returns the nodes' flags.
func secure(dir string) ([]string, error) {
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issue := func(name string, template *x509.Certificate, key *ecdsa.PrivateKey) error {
		der, err := x509.CreateCertificate(rand.Reader, template, authority, &key.PublicKey, authorityKey)
		if err != nil {
			return err
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), certificate, 0o600); err != nil {
			return err
		}
		keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
		return os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600)
	}
	if err := issue("ca", authority, authorityKey); err != nil {
		return nil, err
	}
	for i, name := range []string{"node", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: name},
			NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		}
		if err := issue(name, template, key); err != nil {
			return nil, err
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	config.UpdateGlobal(func(conf *config.Config) {
		conf.Security = config.NewSecurity(path("ca.pem"), path("client.pem"), path("client.key"), nil)
	})
	return []string{"--tls-ca", path("ca.pem"), "--tls-cert", path("node.pem"), "--tls-key", path("node.key")}, nil
}

// transport is how connections to the cluster are made.
func transport() (credentials.TransportCredentials, error) {
	security := config.GetGlobalConfig().Security
	if security.ClusterSSLCA == "" {
		return insecure.NewCredentials(), nil
	}
	tls, err := security.ToTLSConfig()
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(tls), nil
}
