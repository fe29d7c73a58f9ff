import { describe, expect, it } from 'vitest'
import { hubSettings } from './settings.js'

describe('hub settings', () => {
  it('are the public hub and a cache of its own where nothing is set', () => {
    expect(hubSettings({}, '/data/models')).toEqual({
      endpoint: 'https://huggingface.co',
      token: undefined,
      offline: false,
      cacheDirectory: '/data/models/hub',
    })
  })

  it('follow the variables of the hub', () => {
    const environment = {
      HF_ENDPOINT: 'http://mirror:8080/',
      HF_HOME: '/hf',
      HF_HUB_OFFLINE: 'True',
      HF_TOKEN: 'hf_x\n',
    }
    expect(hubSettings(environment, '/data/models')).toEqual({
      endpoint: 'http://mirror:8080',
      token: 'hf_x',
      offline: true,
      cacheDirectory: '/hf/hub',
    })
    expect(hubSettings({ HF_HOME: '/hf', HF_HUB_CACHE: '/cache' }, '/data/models').cacheDirectory).toBe('/cache')
    expect(hubSettings({ HF_HUB_OFFLINE: '0' }, '/data/models').offline).toBe(false)
  })

  it('refuse impossible values without repeating a token', () => {
    expect(() => hubSettings({ HF_ENDPOINT: 'ftp://x' }, '/d')).toThrow(/HF_ENDPOINT.*"ftp:\/\/x"/)
    const open = (): unknown => hubSettings({ HF_TOKEN: 'secret' }, '/d')
    expect(open).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
    expect(open).not.toThrow(/secret/)
  })
})
