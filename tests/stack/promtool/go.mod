module appmigration.test/promtool

go 1.26.7

require github.com/prometheus/prometheus v0.316.0

// Never tidied: that asks for the clouds' libraries, which setup.sh builds without.
