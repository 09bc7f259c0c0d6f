"""Configurations of RudderStack's Custom Audience, since renamed Custom Activation, read and turned into files of ours."""
